// What the longest request would take, in 128 bits.
#include "core/replay/plan_limits.hpp"

#include <algorithm>
#include <stdexcept>

#include "core/replay/request_batch.hpp"

namespace kvprof {
namespace {

__extension__ using Wide = __int128;

constexpr Wide most = Wide{1} << 60;

void require(Wide amount, const char* what) {
  if (amount < most) return;
  throw std::invalid_argument(std::string(what) +
                              " must be below 2**60 for the longest request, of 2**33 tokens");
}

Wide bytes_of(const CacheRule& cache, const Lengths& longest) {
  return Wide{most_rows(cache, longest)} * cache.row_bytes;
}

Wide most_blocks(const GroupPlan& group, const Lengths& longest) {
  if (!group.holding.active) {
    const std::int64_t rows = std::max(rows_needed(group.rule, longest).end, std::int64_t{1});
    const Wide units = Wide{rows} * group.row_units;
    require(units, "the rows of a group");
    return units / group.rows_per_block + 1;
  }
  if (group.rule.keep == Keep::once) return group.holding.state_blocks;
  const std::int64_t slots =
      std::max(longest.tokens + group.holding.lookahead_tokens, longest.encoder_tokens);
  return Wide{slots} / group.block_tokens + 1;
}

void check_group(const GroupPlan& group, const Lengths& longest) {
  const Wide blocks = most_blocks(group, longest);
  require(blocks * group.ids_per_block, "the blocks of a sequence");
  require(blocks * group.rows_per_block, "the rows of a group's blocks");
  require(Wide{group.rule.keep_entries} * group.rule.entry_tokens, "the tokens of a window");
  Wide block_bytes = group.filler_bytes;
  for (const PartPlan& part : group.parts) {
    const std::int64_t rows = std::max({part.rows_per_block, part.base_rows, part.ring_rows});
    require(blocks * rows * part.cache.entry_tokens, "the tokens of a part's blocks");
    require(Wide{part.cache.keep_entries} * part.cache.entry_tokens, "the tokens of a window");
    block_bytes += Wide{rows} * part.cache.row_bytes + part.padding_bytes;
  }
  require(block_bytes, "the bytes of a block");
  require(blocks * block_bytes, "the bytes of a group");
  check_rows(group.logical, longest);
}

}  // namespace

void check_rows(const std::vector<CacheRule>& caches, const Lengths& longest) {
  Wide bytes = 0;
  for (const CacheRule& cache : caches) {
    bytes +=
        bytes_of(cache, {std::max(longest.tokens, longest_request_tokens), longest.encoder_tokens});
    require(bytes, "the bytes of a sequence");
  }
}

void check_limits(const BlocksPlan& plan) {
  std::int64_t left = plan.capacity_bytes;
  for (const PoolPlan& pool : plan.pools) {
    if (pool.num_blocks > left / pool.block_bytes) {
      throw std::invalid_argument("the pools must fit into the memory");
    }
    left -= pool.num_blocks * pool.block_bytes;
  }
  const Lengths longest = plan.at(longest_request_tokens);
  for (const GroupPlan& group : plan.groups) check_group(group, longest);
  check_rows(plan.logical.caches, longest);
}

void check_limits(const StepTraffic& traffic) {
  std::vector<CacheRule> moved;
  for (const MoveRule& move : traffic.moves) {
    if (!move.appends) moved.push_back(move.cache);
  }
  check_rows(moved, {longest_request_tokens, traffic.encoder_tokens});
}

}  // namespace kvprof
