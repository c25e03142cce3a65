#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/array_view.hpp"
#include "core/block_pool.hpp"
#include "core/replay/group_plan.hpp"
#include "core/replay/policy.hpp"

namespace kvprof {

/// Cached blocks of one group that sequences use, in runs of consecutive blocks with the same
/// users.
///
/// What a block of a window is to a sequence depends on how long the sequence is. Of the users of a
/// run the shortest needs every row that another one needs, so the run counts as it counts it, and
/// what the others say of it is what they share.
class SharedRuns {
 public:
  explicit SharedRuns(std::uint64_t num_blocks) : run_of_(num_blocks, none) {}

  /// A sequence uses these cached blocks, of which the first is block `first` of the sequence.
  ///
  /// @param leads  whether the sequence holds no block before them
  void join(Slot slot, std::int64_t first, ArrayView<const BlockId> blocks, bool leads);

  /// A sequence uses none any more.
  void leave(Slot slot);

  /// The last user of block number `index` of its sequences has left it behind.
  void forget(BlockId block, std::int64_t index);

  bool any() const { return num_shared_ > 0; }

  /// Add what users but the shortest say of the blocks that they share.
  ///
  /// @param first_block  the first block that a sequence holds
  template <typename FirstBlock>
  void add_shared(const GroupPlan& group, const LengthOf& tokens, std::int64_t encoder_tokens,
                  const FirstBlock& first_block, Shares& shares) const {
    for (const Run& run : runs_) {
      if (run.users.size() < 2) continue;
      Slot shortest = run.users[0];
      for (const Slot slot : run.users) {
        if (tokens(slot) < tokens(shortest)) shortest = slot;
      }
      for (const Slot slot : run.users) {
        if (slot == shortest) continue;
        const Blocks range{std::max(run.live, first_block(slot)), run.end()};
        if (range.size() == 0) continue;
        group.add_full_blocks({tokens(slot), encoder_tokens}, range, shares);
      }
    }
  }

 private:
  static constexpr std::uint32_t none = ~std::uint32_t{0};

  struct Run {
    std::int64_t first = 0;
    std::int64_t live = 0;  ///< the first block that is still used
    std::vector<BlockId> blocks;
    std::vector<Slot> users;

    std::int64_t end() const { return first + static_cast<std::int64_t>(blocks.size()); }
  };

  std::uint32_t new_run(std::int64_t first, ArrayView<const BlockId> blocks);
  /// @return the run of the blocks from number `at` on
  std::uint32_t split(std::uint32_t run, std::int64_t at);
  void add_user(std::uint32_t run, Slot slot);
  void remove(std::uint32_t run);

  std::vector<Run> runs_;
  std::vector<std::uint32_t> unused_runs_;
  std::vector<std::uint32_t> run_of_;                ///< [blocks]
  std::vector<std::vector<std::uint32_t>> runs_of_;  ///< [slots]
  std::size_t num_shared_ = 0;
};

}  // namespace kvprof
