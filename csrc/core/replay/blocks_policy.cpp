// Sequences over pools of blocks, with or without a cache of prefixes.
#include "core/replay/blocks_policy.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "core/replay/plan_limits.hpp"

namespace kvprof {

BlocksPolicy::BlocksPolicy(BlocksPlan plan)
    : plan_(std::move(plan)),
      needed_(plan_.pools.size()),
      used_(plan_.groups.size()),
      unused_(plan_.groups.size()) {
  check_limits(plan_);
  remainder_bytes_ = plan_.capacity_bytes;
  pools_.reserve(plan_.pools.size());
  for (const PoolPlan& pool : plan_.pools) {
    if (pool.reserved_blocks > pool.num_blocks) {
      throw std::invalid_argument("a pool must hold the blocks that no sequence gets");
    }
    pools_.emplace_back(static_cast<std::uint64_t>(pool.num_blocks));
    BlockId null = 0;
    for (std::int64_t i = 0; i < pool.reserved_blocks; ++i) pools_.back().allocate({&null, 1});
    remainder_bytes_ -= pool.num_blocks * pool.block_bytes;
  }
  for (const GroupPlan& group : plan_.groups) {
    if (group.pool >= pools_.size()) throw std::invalid_argument("a group's pool is not there");
  }
  if (plan_.prefix_tokens > 0) prefixes_.emplace(plan_, pools_, operations_);
}

std::uint64_t BlocksPolicy::available(std::size_t pool) const {
  return pools_[pool].num_free() + (prefixes_ ? prefixes_->num_unused(pool) : 0);
}

void BlocksPolicy::count_ids(std::int64_t tokens, std::vector<std::int64_t>& needed) const {
  needed.assign(pools_.size(), 0);
  for (const GroupPlan& group : plan_.groups) {
    needed[group.pool] += group.blocks(plan_.at(tokens)).size() * group.ids_per_block;
  }
}

bool BlocksPolicy::fits(std::int64_t tokens) const {
  std::vector<std::int64_t> needed;
  count_ids(tokens, needed);
  for (std::size_t i = 0; i < needed.size(); ++i) {
    if (needed[i] > plan_.pools[i].num_blocks - plan_.pools[i].reserved_blocks) return false;
  }
  return true;
}

// Where a window or a chunk needs most in between, growing finds out.
bool BlocksPolicy::fits_when_empty(const Demand& demand) const {
  return fits(demand.tokens) && fits(demand.final_tokens);
}

bool BlocksPolicy::check_needed() {
  for (std::size_t i = 0; i < needed_.size(); ++i) {
    if (needed_[i] <= static_cast<std::int64_t>(available(i))) continue;
    lacking_ = i;
    return false;
  }
  return true;
}

void BlocksPolicy::take(std::size_t group, HeldBlocks& table, std::int64_t count) {
  if (count == 0) return;
  used_[group] += count;
  const std::size_t pool = plan_.groups[group].pool;
  const auto more = static_cast<std::size_t>(count);
  if (prefixes_) prefixes_->make_room(pool, more);
  const std::size_t old = table.ids.size();
  table.ids.resize(old + more);
  pools_[pool].allocate({table.ids.data() + old, more});
  operations_ += more;
}

std::vector<BlockId> BlocksPolicy::take_all(std::size_t pool) {
  std::vector<BlockId> all(available(pool));
  for (BlockId& id : all) {
    if (prefixes_) prefixes_->make_room(pool, 1);
    pools_[pool].allocate({&id, 1});
  }
  return all;
}

void BlocksPolicy::give_back(std::size_t group, BlockId block, std::int64_t index) {
  if (prefixes_->give_back(group, block, index)) --used_[group];
}

void BlocksPolicy::drop_front(std::size_t group, HeldBlocks& table, std::int64_t first) {
  const GroupPlan& plan = plan_.groups[group];
  const std::int64_t gone = std::min(first, table.blocks.end) - table.blocks.first;
  if (gone <= 0) return;
  const auto ids = static_cast<std::size_t>(gone * plan.ids_per_block);
  if (prefixes_) {
    for (std::size_t i = ids; i-- > 0;) {
      give_back(group, table.ids[i], table.blocks.first + static_cast<std::int64_t>(i));
    }
  } else {
    pools_[plan.pool].free({table.ids.data(), ids});
    used_[group] -= static_cast<std::int64_t>(ids);
    operations_ += ids;
  }
  table.ids.erase(table.ids.begin(), table.ids.begin() + static_cast<std::ptrdiff_t>(ids));
}

std::int64_t BlocksPolicy::num_freed(std::size_t group, const HeldBlocks& table,
                                     std::int64_t first) const {
  const std::int64_t gone = std::min(first, table.blocks.end) - table.blocks.first;
  if (gone <= 0) return 0;
  if (!prefixes_) return gone * plan_.groups[group].ids_per_block;
  return std::count_if(table.ids.begin(), table.ids.begin() + static_cast<std::ptrdiff_t>(gone),
                       [&](BlockId block) { return prefixes_->frees(group, block); });
}

std::int64_t BlocksPolicy::admit(Slot slot, const Demand& demand) {
  const std::size_t count = plan_.groups.size();
  if (tables_.size() < (slot + 1) * count) tables_.resize((slot + 1) * count);
  if (prefixes_) return admit_cached(slot, demand);
  count_ids(demand.tokens, needed_);
  if (!check_needed()) return -1;
  for (std::size_t i = 0; i < count; ++i) {
    const GroupPlan& group = plan_.groups[i];
    HeldBlocks& table = tables_[slot * count + i];
    table.blocks = group.blocks(plan_.at(demand.tokens));
    take(i, table, table.blocks.size() * group.ids_per_block);
  }
  return 0;
}

// A refusal changes nothing, not even what was used last.
std::int64_t BlocksPolicy::admit_cached(Slot slot, const Demand& demand) {
  const std::size_t count = plan_.groups.size();
  HeldBlocks* tables = tables_.data() + slot * count;
  prefixes_->find(demand);
  std::fill(needed_.begin(), needed_.end(), 0);
  held_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const GroupPlan& group = plan_.groups[i];
    held_[i] = group.blocks(plan_.at(demand.tokens));
    const CachedPrefixes::Found found = prefixes_->found(i, held_[i]);
    needed_[group.pool] += held_[i].size() - found.blocks + found.unused;
    unused_[i] = found.unused;
  }
  if (!check_needed()) return -1;
  prefixes_->use(held_, tables);
  for (std::size_t i = 0; i < count; ++i) {
    const auto found = static_cast<std::int64_t>(tables[i].ids.size());
    used_[i] += unused_[i];
    take(i, tables[i], held_[i].size() - found);
    prefixes_->place(i, held_[i], tables[i]);
  }
  prefixes_->insert(slot, demand, tables);
  return prefixes_->hit_tokens();
}

bool BlocksPolicy::grow(Slot slot, std::int64_t tokens) {
  const std::size_t count = plan_.groups.size();
  HeldBlocks* tables = tables_.data() + slot * count;
  bool changes = false;
  std::fill(needed_.begin(), needed_.end(), 0);
  for (std::size_t i = 0; i < count; ++i) {
    const GroupPlan& group = plan_.groups[i];
    const Blocks next = group.blocks(plan_.at(tokens));
    const Blocks& now = tables[i].blocks;
    if (next.first == now.first && next.end == now.end) continue;
    changes = true;
    const std::int64_t first = next.size() > 0 ? next.first : now.end;
    const std::int64_t kept = std::max<std::int64_t>(0, now.end - std::max(first, now.first));
    needed_[group.pool] += (next.size() - kept) * group.ids_per_block;
    needed_[group.pool] -= num_freed(i, tables[i], first);
  }
  if (!changes) return true;
  if (!check_needed()) return false;
  for (std::size_t i = 0; i < count; ++i) {  // what is freed may be what another group needs
    const GroupPlan& group = plan_.groups[i];
    const Blocks next = group.blocks(plan_.at(tokens));
    drop_front(i, tables[i], next.size() > 0 ? next.first : tables[i].blocks.end);
  }
  for (std::size_t i = 0; i < count; ++i) {
    const GroupPlan& group = plan_.groups[i];
    tables[i].blocks = group.blocks(plan_.at(tokens));
    const auto held = static_cast<std::int64_t>(tables[i].ids.size());
    take(i, tables[i], tables[i].blocks.size() * group.ids_per_block - held);
  }
  return true;
}

void BlocksPolicy::release(Slot slot) {
  const std::size_t count = plan_.groups.size();
  if (prefixes_) prefixes_->leave(slot);
  for (std::size_t i = 0; i < count; ++i) {
    HeldBlocks& table = tables_[slot * count + i];
    if (prefixes_) {  // the end of a prompt is evicted before its beginning
      for (std::size_t j = table.ids.size(); j-- > 0;) {
        give_back(i, table.ids[j], table.blocks.first + static_cast<std::int64_t>(j));
      }
    } else {
      pools_[plan_.groups[i].pool].free({table.ids.data(), table.ids.size()});
      used_[i] -= static_cast<std::int64_t>(table.ids.size());
      operations_ += table.ids.size();
    }
    table.ids.clear();
    table.blocks = {};
  }
}

Shares BlocksPolicy::shares(Slot, std::int64_t tokens) const {
  Shares shares;
  for (const GroupPlan& group : plan_.groups) group.add_shares(plan_.at(tokens), shares);
  const std::int64_t logical = plan_.logical.bytes(plan_.at(tokens));
  shares[logical_share] = logical;
  shares[convention_share] -= logical;
  return shares;
}

std::int64_t BlocksPolicy::next_break(Slot, std::int64_t tokens) const {
  std::int64_t next = plan_.logical.next_break(tokens);
  for (const GroupPlan& group : plan_.groups) next = std::min(next, group.next_break(tokens));
  return next;
}

Shares BlocksPolicy::shared(const LengthOf& tokens) const {
  return prefixes_ ? prefixes_->shared(tokens, tables_) : Shares{};
}

bool BlocksPolicy::shares_unevenly() const { return prefixes_ && prefixes_->shares_unevenly(); }

bool BlocksPolicy::is_full(std::size_t pool, bool waits) const {
  const bool has_blocks = plan_.pools[pool].num_blocks > plan_.pools[pool].reserved_blocks;
  return has_blocks && ((waits && pool == lacking_) || available(pool) == 0);
}

PoolState BlocksPolicy::pool_state(bool waits, Occupancy& now) const {
  now.groups = used_;
  now.pools.resize(pools_.size());
  bool any_full = false;
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    const std::int64_t all = plan_.pools[i].num_blocks - plan_.pools[i].reserved_blocks;
    PoolUse& pool = now.pools[i];
    pool.free = static_cast<std::int64_t>(pools_[i].num_free());
    pool.reclaimable = prefixes_ ? static_cast<std::int64_t>(prefixes_->num_unused(i)) : 0;
    pool.used = all - pool.free - pool.reclaimable;
    pool.full = is_full(i, waits);
    any_full = any_full || pool.full;
  }
  PoolState state;
  state.shares[remainder_pool] = remainder_bytes_;
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    const std::int64_t block = plan_.pools[i].block_bytes;
    PoolUse& pool = now.pools[i];
    pool.idle = any_full && !pool.full;
    state.shares[reserved_pool] += pool.used * block;
    state.shares[reclaimable_pool] += pool.reclaimable * block;
    state.shares[pool.idle ? imbalance_pool : free_pool] += pool.free * block;
    state.shares[reserved_blocks_pool] += plan_.pools[i].reserved_blocks * block;
    state.largest_free_run_bytes = std::max(state.largest_free_run_bytes, pool.free * block);
  }
  return state;
}

}  // namespace kvprof
