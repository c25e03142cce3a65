#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/block_pool.hpp"
#include "core/replay/group_plan.hpp"
#include "core/replay/policy.hpp"
#include "core/replay/prefix_cache.hpp"

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
  /// Tokens of a prefix hash; 0: prefixes are not cached. It takes a single group that keeps every
  /// token.
  std::int64_t prefix_tokens = 0;
};

/// Block tables over pools of blocks: paged, token slots, shared pools, physical pages.
class BlocksPolicy final : public Policy {
 public:
  /// @throw std::invalid_argument when a plan names a pool that is not there, caches prefixes of
  /// what it cannot, or counts more blocks than a pool takes
  explicit BlocksPolicy(BlocksPlan plan);

  bool fits_when_empty(const Demand& demand) const override;
  std::int64_t admit(Slot slot, const Demand& demand) override;
  bool grow(Slot slot, std::int64_t tokens) override;
  void release(Slot slot) override;
  Shares shares(Slot slot, std::int64_t tokens) const override;
  std::int64_t next_break(Slot slot, std::int64_t tokens) const override;
  Shares shared() const override;
  PoolState pool_state(bool waits) const override;

  /// Ids of a sequence in a group, in order of its blocks.
  const std::vector<BlockId>& table(Slot slot, std::size_t group) const {
    return tables_[slot * plan_.groups.size() + group].ids;
  }

  std::size_t num_groups() const { return plan_.groups.size(); }
  std::size_t num_pools() const { return pools_.size(); }

  /// Take every block of a pool that no sequence uses: their ids, as they are handed out one by
  /// one.
  std::vector<BlockId> take_all(std::size_t pool);

 private:
  struct Table {
    Blocks blocks;
    std::vector<BlockId> ids;
  };

  Lengths at(std::int64_t tokens) const { return {tokens, plan_.encoder_tokens}; }
  std::uint64_t available(std::size_t pool) const;
  bool fits(std::int64_t tokens) const;
  /// Whether the pools hold `needed_`; remembers the first that does not.
  bool check_needed();
  void take(std::size_t pool, Table& table, std::int64_t count);
  void drop_front(const GroupPlan& group, Table& table, std::int64_t first);
  void give_back(std::size_t pool, BlockId block);
  std::uint64_t key(const Demand& demand, std::size_t block) const;
  std::size_t num_keys(const Demand& demand) const;
  /// Fill `cached_` with the blocks at the beginning of the prompt that are known.
  void find_cached(const Demand& demand);
  bool admit_cached(const Demand& demand, Table& table, std::int64_t& cached_tokens);

  BlocksPlan plan_;
  std::vector<BlockPool> pools_;
  std::optional<PrefixCache> prefixes_;
  std::vector<Table> tables_;  ///< [slots, groups]
  std::vector<std::int64_t> needed_;
  std::vector<BlockId> cached_;
  std::size_t lacking_ = 0;
  /// Users of cached blocks beyond the first of each.
  std::int64_t extra_users_ = 0;
  Shares full_block_;
  std::int64_t remainder_bytes_ = 0;
};

}  // namespace kvprof
