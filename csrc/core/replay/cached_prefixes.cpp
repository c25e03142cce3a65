// Prefixes found, used, remembered and left, in every group.
#include "core/replay/cached_prefixes.hpp"

#include <algorithm>
#include <stdexcept>

namespace kvprof {

CachedPrefixes::CachedPrefixes(const BlocksPlan& plan, std::vector<BlockPool>& pools,
                               std::uint64_t& operations)
    : plan_(plan), pools_(pools), found_(plan.groups.size()), operations_(operations) {
  std::vector<std::size_t> blocks_per_key(pools.size(), 1);
  for (const GroupPlan& group : plan.groups) {
    const bool by_block = group.rule.keep != Keep::once && group.rule.keep != Keep::tail;
    if (group.ids_per_block != 1 || group.rule.clock == Clock::encoder || plan.prefix_step < 1 ||
        (by_block && plan.prefix_step % group.block_tokens != 0)) {
      throw std::invalid_argument("prefixes are cached in blocks of the decoder's tokens");
    }
    groups_.push_back({&group, group.is_even(), {}, 0, SharedRuns(0)});
    if (groups_.back().is_even) {
      group.add_full_blocks({group.block_tokens, 0}, {0, 1}, groups_.back().full_block);
    } else {
      groups_.back().runs = SharedRuns(pools[group.pool].num_blocks());
    }
    if (!by_block) continue;
    const auto ends = static_cast<std::size_t>((plan.prefix_tokens - 1) / group.block_tokens + 1);
    blocks_per_key[group.pool] = std::max(blocks_per_key[group.pool], ends);
  }
  for (std::size_t i = 0; i < pools.size(); ++i) caches_.emplace_back(pools[i], blocks_per_key[i]);
}

std::int64_t CachedPrefixes::hashed_tokens(const Demand& demand) const {
  const auto hashed = static_cast<std::int64_t>(demand.hashes.size) * plan_.prefix_tokens;
  return std::min(demand.prompt_tokens, hashed) / plan_.prefix_step * plan_.prefix_step;
}

CachedPrefixes::HashedBlocks CachedPrefixes::hashed_blocks(const Demand& demand, std::size_t group,
                                                           std::int64_t block) const {
  const std::int64_t size = groups_[group].plan->block_tokens;
  const std::int64_t tokens = plan_.prefix_tokens;
  const std::int64_t hash = ((block + 1) * size - 1) / tokens;
  const auto position = static_cast<std::uint64_t>(hash);
  return {block_key(demand.hashes[static_cast<std::size_t>(hash)], position, group),
          {hash * tokens / size, (hash + 1) * tokens / size}};
}

BlockId CachedPrefixes::find_block(const Demand& demand, std::size_t group,
                                   std::int64_t block) const {
  const HashedBlocks known = hashed_blocks(demand, group, block);
  return cache(group).find(known.key)[static_cast<std::size_t>(block - known.blocks.first)];
}

std::uint64_t CachedPrefixes::state_key(const Demand& demand, std::size_t group,
                                        std::int64_t end_tokens) const {
  const auto hash = static_cast<std::size_t>((end_tokens - 1) / plan_.prefix_tokens);
  return block_key(demand.hashes[hash], static_cast<std::uint64_t>(end_tokens), group);
}

BlockId CachedPrefixes::find_state(const Demand& demand, std::size_t group,
                                   std::int64_t end_tokens) const {
  return cache(group).find(state_key(demand, group, end_tokens))[0];
}

std::int64_t CachedPrefixes::longest_full(const Demand& demand, std::size_t group,
                                          std::int64_t tokens) {
  const std::int64_t size = groups_[group].plan->block_tokens;
  const auto count = static_cast<std::size_t>(tokens / size);
  std::vector<BlockId>& ids = found_[group].ids;
  ids.clear();
  while (ids.size() < count) {
    const HashedBlocks hashed = hashed_blocks(demand, group, static_cast<std::int64_t>(ids.size()));
    const ArrayView<const BlockId> known =
        cache(group)
            .find(hashed.key)
            .first(std::min(static_cast<std::size_t>(hashed.blocks.size()), count - ids.size()));
    const BlockId* missing = std::find(known.begin(), known.end(), PrefixCache::none);
    ids.insert(ids.end(), known.begin(), missing);
    if (missing != known.end()) break;
  }
  const auto end = static_cast<std::int64_t>(ids.size()) * size;
  return end / plan_.prefix_step * plan_.prefix_step;
}

// Blocks that are missing make every length need them that is longer, up to a window.
std::int64_t CachedPrefixes::longest(const Demand& demand, std::size_t group,
                                     std::int64_t tokens) const {
  const GroupPlan& plan = *groups_[group].plan;
  const std::int64_t size = plan.block_tokens;
  const std::int64_t step = plan_.prefix_step;
  if (plan.rule.keep == Keep::tail || (plan.rule.keep == Keep::once && !plan.checkpoints)) {
    return tokens;
  }
  if (plan.rule.keep == Keep::once) {
    while (tokens > 0 && find_state(demand, group, tokens) == PrefixCache::none) tokens -= step;
    return tokens;
  }
  while (tokens > 0) {
    const Blocks needed = plan.reused(tokens);
    std::int64_t block = needed.end;
    while (block > needed.first && find_block(demand, group, block - 1) != PrefixCache::none) {
      --block;
    }
    if (block <= needed.first) break;
    tokens = (block - 1) * size / step * step;
  }
  return tokens;
}

void CachedPrefixes::find(const Demand& demand) {
  // The last token is always computed: its output is what comes next.
  const std::int64_t step = plan_.prefix_step;
  const std::int64_t others = std::max<std::int64_t>(0, demand.tokens - 1) / step * step;
  std::int64_t tokens = std::min(hashed_tokens(demand), others);
  bool any_full = false;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    if (groups_[i].plan->rule.keep != Keep::all) continue;
    tokens = longest_full(demand, i, tokens);
    any_full = true;
  }
  const std::int64_t full = tokens;
  for (std::int64_t before = -1; tokens != before;) {
    before = tokens;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      if (groups_[i].plan->rule.keep != Keep::all) tokens = longest(demand, i, tokens);
    }
  }
  hit_ = {tokens, any_full && full > tokens ? full : 0};
  for (std::size_t i = 0; i < groups_.size(); ++i) collect(demand, i);
}

void CachedPrefixes::collect(const Demand& demand, std::size_t group) {
  const GroupPlan& plan = *groups_[group].plan;
  HeldBlocks& found = found_[group];
  found.blocks = hit_.tokens > 0 ? plan.reused(hit_.tokens) : Blocks{};
  if (plan.rule.keep == Keep::all) {
    found.ids.resize(static_cast<std::size_t>(found.blocks.end));
    return;
  }
  found.ids.clear();
  for (std::int64_t b = found.blocks.first; b < found.blocks.end; ++b) {
    found.ids.push_back(find_block(demand, group, b));
  }
  if (plan.checkpoints && hit_.tokens > 0) {
    found.ids.push_back(find_state(demand, group, hit_.tokens));
  }
}

CachedPrefixes::Found CachedPrefixes::found(std::size_t group, const Blocks& held) const {
  const HeldBlocks& found = found_[group];
  Found count;
  for (std::int64_t b = std::max(held.first, found.blocks.first);
       b < std::min(held.end, found.blocks.end); ++b) {
    ++count.blocks;
    const BlockId id = found.ids[static_cast<std::size_t>(b - found.blocks.first)];
    if (cache(group).users(id) == 0) ++count.unused;
  }
  return count;
}

// What a window has left behind at the prompt's end was used all the same, the end before the
// beginning; so was the state that the prompt went on from.
void CachedPrefixes::use(const std::vector<Blocks>& held, HeldBlocks* tables) {
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const HeldBlocks& found = found_[i];
    tables[i].ids.clear();
    tables[i].blocks = {held[i].first, held[i].first};
    for (std::size_t j = found.ids.size(); j-- > 0;) {
      const std::int64_t block = found.blocks.first + static_cast<std::int64_t>(j);
      const bool is_state = block >= found.blocks.end;
      if (is_state || block < held[i].first || block >= held[i].end) cache(i).touch(found.ids[j]);
    }
  }
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const HeldBlocks& found = found_[i];
    for (std::int64_t b = std::max(held[i].first, found.blocks.first);
         b < std::min(held[i].end, found.blocks.end); ++b) {
      const BlockId id = found.ids[static_cast<std::size_t>(b - found.blocks.first)];
      if (cache(i).users(id) > 0 && groups_[i].is_even) ++groups_[i].extra_users;
      cache(i).use(id);
      ++operations_;
      tables[i].ids.push_back(id);
    }
  }
}

void CachedPrefixes::place(std::size_t group, const Blocks& held, HeldBlocks& table) const {
  table.blocks = held;
  const auto before = static_cast<std::ptrdiff_t>(found_[group].blocks.first - held.first);
  const auto known = static_cast<std::ptrdiff_t>(found(group, held).blocks);
  if (before <= 0 || known == 0) return;
  const auto ids = table.ids.begin();
  std::rotate(ids, ids + known, ids + known + before);
}

// A resend of the same prompt computes its last token (vLLM, replay_boundaries). Within the last
// hash no longer prompt could find it: there the hash is another one.
std::int64_t CachedPrefixes::last_end(const Demand& demand) const {
  const std::int64_t step = plan_.prefix_step;
  const std::int64_t resent = std::max<std::int64_t>(0, demand.prompt_tokens - 1) / step * step;
  const std::int64_t last = std::min(resent, hashed_tokens(demand));
  const std::int64_t whole = demand.prompt_tokens / plan_.prefix_tokens * plan_.prefix_tokens;
  return whole < step ? last : std::min(last, whole / step * step);
}

void CachedPrefixes::insert(Slot slot, const Demand& demand, const HeldBlocks* tables) {
  const std::int64_t hashed = hashed_tokens(demand);
  const std::int64_t ends[] = {hit_.junction, last_end(demand)};
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const GroupPlan& plan = *groups_[i].plan;
    const std::int64_t computed = hit_.tokens / plan.block_tokens;
    switch (plan.rule.keep) {
      case Keep::all:
      case Keep::chunk:
        insert_blocks(demand, i, {computed, hashed / plan.block_tokens}, tables[i]);
        break;
      case Keep::last:
        for (const std::int64_t end : ends) {
          if (end <= hit_.tokens) continue;
          Blocks blocks = plan.reused(end);
          blocks.first = std::max(blocks.first, computed);
          insert_blocks(demand, i, blocks, tables[i]);
        }
        break;
      case Keep::once:
        for (const std::int64_t end : ends) {
          if (end > hit_.tokens && plan.checkpoints) {
            leave_behind(i, state_key(demand, i, end), 0);
          }
        }
        break;
      case Keep::tail:
        break;
    }
    drop_left_behind(i);
    if (!groups_[i].is_even) join(slot, i, tables[i]);
  }
}

void CachedPrefixes::insert_blocks(const Demand& demand, std::size_t group, Blocks blocks,
                                   const HeldBlocks& table) {
  while (blocks.size() > 0) {
    const HashedBlocks known = hashed_blocks(demand, group, blocks.first);
    const Blocks hashed{blocks.first, std::min(blocks.end, known.blocks.end)};
    const Blocks held{std::clamp(table.blocks.first, hashed.first, hashed.end),
                      std::clamp(table.blocks.end, hashed.first, hashed.end)};
    const auto number = [&](std::int64_t block) {
      return static_cast<std::size_t>(block - known.blocks.first);
    };
    for (std::int64_t b = hashed.first; b < held.first; ++b) {
      leave_behind(group, known.key, number(b));
    }
    if (held.size() > 0) {
      const auto first = static_cast<std::size_t>(held.first - table.blocks.first);
      cache(group).insert({table.ids.data() + first, static_cast<std::size_t>(held.size())},
                          known.key, number(held.first));
    }
    for (std::int64_t b = held.end; b < hashed.end; ++b) {
      leave_behind(group, known.key, number(b));
    }
    blocks.first = hashed.end;
  }
}

// They were computed, and then left: they stay where a block can be had for them.
void CachedPrefixes::leave_behind(std::size_t group, std::uint64_t key, std::size_t number) {
  const std::size_t pool = groups_[group].plan->pool;
  const BlockId known = caches_[pool].find(key)[number];
  if (known != PrefixCache::none) {
    caches_[pool].touch(known);
    return;
  }
  if (pools_[pool].num_free() == 0) {
    if (caches_[pool].num_unused() == 0) return;
    caches_[pool].evict();
  }
  BlockId block = 0;
  pools_[pool].allocate({&block, 1});
  caches_[pool].insert({&block, 1}, key, number);
  left_behind_.push_back(block);
}

void CachedPrefixes::drop_left_behind(std::size_t group) {
  operations_ += 2 * left_behind_.size();
  while (!left_behind_.empty()) {
    cache(group).drop(left_behind_.back());
    left_behind_.pop_back();
  }
}

void CachedPrefixes::join(Slot slot, std::size_t group, const HeldBlocks& table) {
  const std::size_t count = table.ids.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (!cache(group).holds(table.ids[i])) continue;
    std::size_t end = i + 1;
    while (end < count && cache(group).holds(table.ids[end])) ++end;
    std::vector<BlockId> ids(table.ids.begin() + static_cast<std::ptrdiff_t>(i),
                             table.ids.begin() + static_cast<std::ptrdiff_t>(end));
    groups_[group].runs.join(slot, table.blocks.first + static_cast<std::int64_t>(i),
                             {ids.data(), ids.size()}, i == 0);
    i = end;
  }
}

void CachedPrefixes::make_room(std::size_t pool, std::size_t blocks) {
  while (pools_[pool].num_free() < blocks) caches_[pool].evict();
}

bool CachedPrefixes::give_back(std::size_t group, BlockId block, std::int64_t index) {
  PrefixCache& known = cache(group);
  ++operations_;
  if (!known.holds(block)) {
    pools_[groups_[group].plan->pool].free({&block, 1});
    return true;
  }
  const bool is_last = known.users(block) == 1;
  if (!is_last && groups_[group].is_even) --groups_[group].extra_users;
  if (is_last && !groups_[group].is_even) groups_[group].runs.forget(block, index);
  known.drop(block);
  return is_last;
}

bool CachedPrefixes::frees(std::size_t group, BlockId block) const {
  return !cache(group).holds(block) || cache(group).users(block) == 1;
}

void CachedPrefixes::leave(Slot slot) {
  for (Group& group : groups_) group.runs.leave(slot);
}

Shares CachedPrefixes::shared(const LengthOf& tokens, const std::vector<HeldBlocks>& tables) const {
  Shares shares;
  for (std::size_t i = 0; i < groups_.size(); ++i) {
    const Group& group = groups_[i];
    shares.add(group.full_block, group.extra_users);
    if (!group.runs.any()) continue;
    const auto first_block = [&, i](Slot slot) {
      return tables[slot * groups_.size() + i].blocks.first;
    };
    group.runs.add_shared(*group.plan, tokens, plan_.encoder_tokens, first_block, shares);
  }
  return shares;
}

bool CachedPrefixes::shares_unevenly() const {
  return std::any_of(groups_.begin(), groups_.end(),
                     [](const Group& group) { return group.runs.any(); });
}

}  // namespace kvprof
