// Sequences over pools of blocks, with or without a cache of prefixes.
#include "core/replay/blocks_policy.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace kvprof {

BlocksPolicy::BlocksPolicy(BlocksPlan plan)
    : plan_(std::move(plan)), needed_(plan_.pools.size()), used_(plan_.groups.size()) {
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
  if (plan_.prefix_tokens > 0) {
    if (plan_.groups.size() != 1 || plan_.groups[0].rule.keep != Keep::all ||
        plan_.groups[0].ids_per_block != 1) {
      throw std::invalid_argument("prefixes are cached of one group that keeps every token");
    }
    prefixes_.emplace(pools_[plan_.groups[0].pool]);
    const GroupPlan& group = plan_.groups[0];
    GroupPlan needed = group;
    needed.holding = {};
    needed.add_shares({group.block_tokens, plan_.encoder_tokens}, full_block_);
    const std::int64_t logical = plan_.logical.bytes({group.block_tokens, plan_.encoder_tokens});
    full_block_[logical_share] += logical;
    full_block_[convention_share] -= logical;
  }
}

std::uint64_t BlocksPolicy::available(std::size_t pool) const {
  return pools_[pool].num_free() + (prefixes_ ? prefixes_->num_unused() : 0);
}

bool BlocksPolicy::fits(std::int64_t tokens) const {
  std::vector<std::int64_t> needed(pools_.size());
  for (const GroupPlan& group : plan_.groups) {
    needed[group.pool] += group.blocks(at(tokens)).size() * group.ids_per_block;
  }
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

void BlocksPolicy::take(std::size_t group, Table& table, std::int64_t count) {
  if (count == 0) return;
  used_[group] += count;
  const std::size_t pool = plan_.groups[group].pool;
  const auto more = static_cast<std::size_t>(count);
  while (prefixes_ && pools_[pool].num_free() < more) prefixes_->evict();
  const std::size_t old = table.ids.size();
  table.ids.resize(old + more);
  pools_[pool].allocate({table.ids.data() + old, more});
  operations_ += more;
}

std::vector<BlockId> BlocksPolicy::take_all(std::size_t pool) {
  Table all;
  for (std::uint64_t left = available(pool); left > 0; --left) take(pool, all, 1);
  return all.ids;
}

void BlocksPolicy::give_back(std::size_t group, BlockId block) {
  ++operations_;
  if (!prefixes_ || !prefixes_->holds(block)) {
    pools_[plan_.groups[group].pool].free({&block, 1});
    --used_[group];
    return;
  }
  if (prefixes_->users(block) > 1) {
    --extra_users_;
  } else {
    --used_[group];
  }
  prefixes_->drop(block);
}

void BlocksPolicy::drop_front(std::size_t group, Table& table, std::int64_t first) {
  const GroupPlan& plan = plan_.groups[group];
  const std::int64_t gone = std::min(first, table.blocks.end) - table.blocks.first;
  if (gone <= 0) return;
  const auto ids = static_cast<std::size_t>(gone * plan.ids_per_block);
  pools_[plan.pool].free({table.ids.data(), ids});
  used_[group] -= static_cast<std::int64_t>(ids);
  operations_ += ids;
  table.ids.erase(table.ids.begin(), table.ids.begin() + static_cast<std::ptrdiff_t>(ids));
}

std::int64_t BlocksPolicy::admit(Slot slot, const Demand& demand) {
  const std::size_t count = plan_.groups.size();
  if (tables_.size() < (slot + 1) * count) tables_.resize((slot + 1) * count);
  if (prefixes_) {
    std::int64_t cached_tokens = 0;
    return admit_cached(demand, tables_[slot], cached_tokens) ? cached_tokens : -1;
  }
  std::fill(needed_.begin(), needed_.end(), 0);
  for (const GroupPlan& group : plan_.groups) {
    needed_[group.pool] += group.blocks(at(demand.tokens)).size() * group.ids_per_block;
  }
  if (!check_needed()) return -1;
  for (std::size_t i = 0; i < count; ++i) {
    const GroupPlan& group = plan_.groups[i];
    Table& table = tables_[slot * count + i];
    table.blocks = group.blocks(at(demand.tokens));
    take(i, table, table.blocks.size() * group.ids_per_block);
  }
  return 0;
}

std::size_t BlocksPolicy::num_keys(const Demand& demand) const {
  if (demand.hashes.size == 0) return 0;
  const std::int64_t block = plan_.groups[0].block_tokens;
  const auto hashed = static_cast<std::int64_t>(demand.hashes.size) * plan_.prefix_tokens;
  return static_cast<std::size_t>(std::min(demand.prompt_tokens, hashed) / block);
}

std::uint64_t BlocksPolicy::key(const Demand& demand, std::size_t block) const {
  const auto end = static_cast<std::uint64_t>(plan_.groups[0].block_tokens) * (block + 1);
  const std::uint64_t hash = (end - 1) / static_cast<std::uint64_t>(plan_.prefix_tokens);
  return block_key(demand.hashes[static_cast<std::size_t>(hash)], end);
}

void BlocksPolicy::find_cached(const Demand& demand) {
  // The last token is always computed: its output is what comes next.
  const std::int64_t others = std::max<std::int64_t>(0, demand.tokens - 1);
  const auto most = static_cast<std::size_t>(others / plan_.groups[0].block_tokens);
  const std::size_t keys = std::min(num_keys(demand), most);
  cached_.clear();
  for (std::size_t i = 0; i < keys; ++i) {
    const auto block = prefixes_->find(key(demand, i));
    if (!block) return;
    cached_.push_back(*block);
  }
}

// A refusal changes nothing, not even what was used last.
bool BlocksPolicy::admit_cached(const Demand& demand, Table& table, std::int64_t& cached_tokens) {
  const GroupPlan& group = plan_.groups[0];
  const Blocks blocks = group.blocks(at(demand.tokens));
  find_cached(demand);
  const auto cached = static_cast<std::int64_t>(cached_.size());
  const std::int64_t missing = blocks.size() - cached;
  const std::int64_t unused = std::count_if(cached_.begin(), cached_.end(), [this](BlockId block) {
    return prefixes_->users(block) == 0;
  });
  if (missing + unused > static_cast<std::int64_t>(available(group.pool))) {
    lacking_ = group.pool;
    return false;
  }
  for (const BlockId block : cached_) prefixes_->use(block);
  extra_users_ += cached - unused;
  used_[0] += unused;
  operations_ += cached_.size();
  table.ids.assign(cached_.begin(), cached_.end());
  take(0, table, missing);
  table.blocks = blocks;
  for (std::size_t i = cached_.size(); i < num_keys(demand); ++i) {
    prefixes_->insert(table.ids[i], key(demand, i));
  }
  cached_tokens = cached * group.block_tokens;
  return true;
}

bool BlocksPolicy::grow(Slot slot, std::int64_t tokens) {
  const std::size_t count = plan_.groups.size();
  Table* tables = tables_.data() + slot * count;
  bool changes = false;
  std::fill(needed_.begin(), needed_.end(), 0);
  for (std::size_t i = 0; i < count; ++i) {
    const GroupPlan& group = plan_.groups[i];
    const Blocks next = group.blocks(at(tokens));
    const Blocks& now = tables[i].blocks;
    if (next.first == now.first && next.end == now.end) continue;
    changes = true;
    needed_[group.pool] += (next.size() - now.size()) * group.ids_per_block;
  }
  if (!changes) return true;
  if (!check_needed()) return false;
  for (std::size_t i = 0; i < count; ++i) {  // what is freed may be what another group needs
    const GroupPlan& group = plan_.groups[i];
    const Blocks next = group.blocks(at(tokens));
    drop_front(i, tables[i], next.size() > 0 ? next.first : tables[i].blocks.end);
  }
  for (std::size_t i = 0; i < count; ++i) {
    const GroupPlan& group = plan_.groups[i];
    tables[i].blocks = group.blocks(at(tokens));
    const auto held = static_cast<std::int64_t>(tables[i].ids.size());
    take(i, tables[i], tables[i].blocks.size() * group.ids_per_block - held);
  }
  return true;
}

void BlocksPolicy::release(Slot slot) {
  const std::size_t count = plan_.groups.size();
  for (std::size_t i = 0; i < count; ++i) {
    Table& table = tables_[slot * count + i];
    if (prefixes_) {  // the end of a prompt is evicted before its beginning
      for (std::size_t j = table.ids.size(); j-- > 0;) give_back(i, table.ids[j]);
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
  for (const GroupPlan& group : plan_.groups) group.add_shares(at(tokens), shares);
  const std::int64_t logical = plan_.logical.bytes(at(tokens));
  shares[logical_share] = logical;
  shares[convention_share] -= logical;
  return shares;
}

std::int64_t BlocksPolicy::next_break(Slot, std::int64_t tokens) const {
  std::int64_t next = plan_.logical.next_break(tokens);
  for (const GroupPlan& group : plan_.groups) next = std::min(next, group.next_break(tokens));
  return next;
}

Shares BlocksPolicy::shared() const {
  Shares shares;
  shares.add(full_block_, extra_users_);
  return shares;
}

bool BlocksPolicy::is_full(std::size_t pool, bool waits) const {
  const PoolPlan& plan = plan_.pools[pool];
  const bool has_blocks = plan.num_blocks > plan.reserved_blocks;
  return has_blocks && ((waits && pool == lacking_) || available(pool) == 0);
}

PoolState BlocksPolicy::pool_state(bool waits) const {
  PoolState state;
  bool any_full = false;
  for (std::size_t i = 0; i < pools_.size(); ++i) any_full = any_full || is_full(i, waits);
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    const PoolPlan& pool = plan_.pools[i];
    const auto free = static_cast<std::int64_t>(pools_[i].num_free()) * pool.block_bytes;
    const bool idle = any_full && !is_full(i, waits);
    state.shares[idle ? imbalance_pool : free_pool] += free;
    state.shares[reserved_blocks_pool] += pool.reserved_blocks * pool.block_bytes;
    const std::uint64_t unused = prefixes_ ? prefixes_->num_unused() : 0;
    const auto reclaimable = static_cast<std::int64_t>(unused) * pool.block_bytes;
    state.shares[reclaimable_pool] += reclaimable;
    const std::int64_t all = (pool.num_blocks - pool.reserved_blocks) * pool.block_bytes;
    state.shares[reserved_pool] += all - free - reclaimable;
    state.largest_free_run_bytes = std::max(state.largest_free_run_bytes, free);
  }
  state.shares[remainder_pool] = remainder_bytes_;
  return state;
}

void BlocksPolicy::occupy(bool waits, Occupancy& now) const {
  now.pools.resize(pools_.size());
  bool any_full = false;
  for (std::size_t i = 0; i < pools_.size(); ++i) {
    PoolUse& pool = now.pools[i];
    pool.free = static_cast<std::int64_t>(pools_[i].num_free());
    pool.reclaimable = prefixes_ ? static_cast<std::int64_t>(prefixes_->num_unused()) : 0;
    pool.used =
        plan_.pools[i].num_blocks - plan_.pools[i].reserved_blocks - pool.free - pool.reclaimable;
    pool.full = is_full(i, waits);
    any_full = any_full || pool.full;
  }
  for (PoolUse& pool : now.pools) pool.idle = any_full && !pool.full;
  now.groups = used_;
}

}  // namespace kvprof
