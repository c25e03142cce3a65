#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/replay/cache_rule.hpp"
#include "core/replay/shares.hpp"

namespace kvprof {

/// The pages of one cache in a group. Rows are counted in `row_units` of the group.
struct PartPlan {
  CacheRule cache;
  std::int64_t rows_per_block = 1;
  /// Rows of the engine's own block, where it was blown up to match a state; 0: it was not.
  std::int64_t base_rows = 0;
  /// Of a block, what its rows leave.
  std::int64_t padding_bytes = 0;
  /// Each block has a ring of so many rows, which its tokens overwrite in turn; 0: no ring.
  std::int64_t ring_rows = 0;
};

/// What an engine holds beside the rows that are needed (plan_group.py, Holding).
struct HoldingPlan {
  bool active = false;
  std::int64_t lookahead_tokens = 0;
  std::int64_t longest_tokens = 0;
  std::int64_t retained_tokens = 0;
  std::int64_t window_step = 0;
  std::int64_t state_blocks = 1;
};

/// Blocks of a sequence, counted from its start.
struct Blocks {
  std::int64_t first = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end > first ? end - first : 0; }
};

/// Layers that share a block table: the blocks that a sequence holds, and what their bytes are.
///
/// A block holds `rows_per_block` units, a row takes `row_units` of them and may cross from one
/// block into the next: physical pages hold whatever comes. Everywhere else a row is one unit.
struct GroupPlan {
  CacheRule rule;
  std::int64_t rows_per_block = 1;
  std::int64_t block_tokens = 1;
  std::int64_t row_units = 1;
  std::int64_t filler_bytes = 0;
  HoldingPlan holding;
  std::vector<PartPlan> parts;
  /// Which pool its blocks come from, and how many ids of that pool are one block.
  std::size_t pool = 0;
  std::int64_t ids_per_block = 1;
  /// What is needed of the group's layers, whatever the engine keeps.
  std::vector<CacheRule> logical;
  /// Of states: whether one is kept where a prefix ends that others may begin with.
  bool checkpoints = false;

  RowRange rows(const Lengths& at) const;
  Blocks blocks(const Lengths& at) const;

  /// Add what the bytes of those blocks are. Rows that are needed count as `convention_share`: what
  /// of them is logical is not the group's to say.
  void add_shares(const Lengths& at, Shares& shares) const;

  /// Add what the bytes of some of those blocks are, all of whose tokens are there; of rows that
  /// are needed, those that are logical.
  void add_full_blocks(const Lengths& at, const Blocks& blocks, Shares& shares) const;

  /// Whether a full block is the same to a sequence of any length.
  bool is_even() const;

  /// The blocks that a sequence needs which begins with so many tokens that it has not computed;
  /// they end there.
  Blocks reused(std::int64_t tokens) const;

  /// A length above `tokens` up to which, itself excluded, no block comes or goes and every share
  /// grows by the same number of bytes a token.
  std::int64_t next_break(std::int64_t tokens) const;

 private:
  std::int64_t slots_end(const Lengths& at) const;
  void add_part(const PartPlan& part, const Lengths& at, const Blocks& held, Shares& shares) const;
  void add_ring(const PartPlan& part, const Lengths& at, const Blocks& held, Shares& shares) const;
  void add_full_part(const PartPlan& part, const Lengths& at, const Blocks& blocks,
                     Shares& shares) const;
  std::int64_t next_held_break(std::int64_t tokens) const;
  std::int64_t next_needed_break(std::int64_t tokens) const;
  bool is_uneven() const;
};

}  // namespace kvprof
