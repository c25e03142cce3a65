#pragma once
#include <cstdint>
#include <vector>

#include "core/replay/group_plan.hpp"
#include "core/replay/policy.hpp"

namespace kvprof {

/// Blocks of one size.
struct PoolPlan {
  std::int64_t num_blocks = 0;
  std::int64_t block_bytes = 0;
  /// Of them, blocks that no sequence gets.
  std::int64_t reserved_blocks = 0;
};

struct BlocksPlan {
  std::vector<GroupPlan> groups;
  std::vector<PoolPlan> pools;
  LogicalPlan logical;
  std::int64_t capacity_bytes = 0;
  std::int64_t encoder_tokens = 0;
  /// Tokens of a prefix hash; 0: prefixes are not cached.
  std::int64_t prefix_tokens = 0;
  /// A prefix is found again up to a multiple of so many tokens: what all groups can share.
  std::int64_t prefix_step = 0;

  Lengths at(std::int64_t tokens) const { return {tokens, encoder_tokens}; }
};

}  // namespace kvprof
