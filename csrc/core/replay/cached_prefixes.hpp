#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/block_pool.hpp"
#include "core/replay/blocks_plan.hpp"
#include "core/replay/policy.hpp"
#include "core/replay/prefix_cache.hpp"
#include "core/replay/shared_runs.hpp"

namespace kvprof {

/// Blocks of one sequence in one group; the first id is that of block `blocks.first`.
struct HeldBlocks {
  Blocks blocks;
  std::vector<BlockId> ids;
};

/// Beginnings of prompts that the pools still hold, in every group of a plan.
///
/// As vLLM and SGLang do: a prefix is found again as far as each group has what the next token
/// needs. All blocks of a prompt are kept of layers that see every token or a chunk. Of windows and
/// states there is what is needed at the prompt's end, and where another prompt was seen to part
/// from it: as far as blocks of all tokens were found, but a window or a state was not.
class CachedPrefixes {
 public:
  /// @param operations  where blocks allocated and freed are counted
  /// @throw std::invalid_argument when a group of the plan cannot be cached
  CachedPrefixes(const BlocksPlan& plan, std::vector<BlockPool>& pools, std::uint64_t& operations);

  std::uint64_t num_unused(std::size_t pool) const { return caches_[pool].num_unused(); }

  /// Blocks at the beginning of a prompt that are there: what comes next is about them.
  void find(const Demand& demand);

  /// Tokens that need not be computed.
  std::int64_t hit_tokens() const { return hit_.tokens; }

  /// Of the blocks that a group would hold, those that were found, and of them those unused so far.
  struct Found {
    std::int64_t blocks = 0;
    std::int64_t unused = 0;
  };
  Found found(std::size_t group, const Blocks& held) const;

  /// Begin the tables of a sequence, one for each group, with the blocks that were found.
  void use(const std::vector<Blocks>& held, HeldBlocks* tables);

  /// Put blocks taken behind those that were found where they belong: some may come before.
  void place(std::size_t group, const Blocks& held, HeldBlocks& table) const;

  /// Remember what a prompt leaves, once its tables are filled.
  void insert(Slot slot, const Demand& demand, const HeldBlocks* tables);

  /// Give unused blocks up until so many are free. @pre there are enough of them
  void make_room(std::size_t pool, std::size_t blocks);

  /// A sequence has no use for block number `index` any more. @return whether no other one has
  bool give_back(std::size_t group, BlockId block, std::int64_t index);

  /// Whether the pool has one block more when a sequence gives this one back.
  bool frees(std::size_t group, BlockId block) const;

  void leave(Slot slot);

  /// @param tables  [slots, groups]
  Shares shared(const LengthOf& tokens, const std::vector<HeldBlocks>& tables) const;
  bool shares_unevenly() const;

 private:
  struct Hit {
    std::int64_t tokens = 0;
    std::int64_t junction = 0;  ///< up to here, blocks of all tokens are there
  };

  struct Group {
    const GroupPlan* plan = nullptr;
    bool is_even = false;
    Shares full_block;             ///< where blocks are even
    std::int64_t extra_users = 0;  ///< of them, beyond the first of each
    SharedRuns runs{0};            ///< where they are not
  };

  /// Where the blocks of a prompt are known that end in one of its hashes, in order.
  struct HashedBlocks {
    std::uint64_t key = 0;
    Blocks blocks;
  };

  PrefixCache& cache(std::size_t group) { return caches_[groups_[group].plan->pool]; }
  const PrefixCache& cache(std::size_t group) const { return caches_[groups_[group].plan->pool]; }
  std::int64_t hashed_tokens(const Demand& demand) const;
  /// Where a prompt leaves its windows and states.
  std::int64_t last_end(const Demand& demand) const;
  HashedBlocks hashed_blocks(const Demand& demand, std::size_t group, std::int64_t block) const;
  /// The block of that number, or none.
  BlockId find_block(const Demand& demand, std::size_t group, std::int64_t block) const;
  std::uint64_t state_key(const Demand& demand, std::size_t group, std::int64_t end_tokens) const;
  BlockId find_state(const Demand& demand, std::size_t group, std::int64_t end_tokens) const;
  std::int64_t longest_full(const Demand& demand, std::size_t group, std::int64_t tokens);
  std::int64_t longest(const Demand& demand, std::size_t group, std::int64_t tokens) const;
  void collect(const Demand& demand, std::size_t group);
  void insert_blocks(const Demand& demand, std::size_t group, Blocks blocks,
                     const HeldBlocks& table);
  void leave_behind(std::size_t group, std::uint64_t key, std::size_t number);
  void drop_left_behind(std::size_t group);
  void join(Slot slot, std::size_t group, const HeldBlocks& table);

  const BlocksPlan& plan_;
  std::vector<BlockPool>& pools_;
  std::vector<PrefixCache> caches_;  ///< [pools]
  std::vector<Group> groups_;
  Hit hit_;
  std::vector<HeldBlocks> found_;  ///< [groups], of the last find
  std::vector<BlockId> left_behind_;
  std::uint64_t& operations_;
};

}  // namespace kvprof
