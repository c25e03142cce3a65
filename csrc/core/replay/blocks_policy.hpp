#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/block_pool.hpp"
#include "core/replay/blocks_plan.hpp"
#include "core/replay/cached_prefixes.hpp"
#include "core/replay/policy.hpp"

namespace kvprof {

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
  Shares shared(const LengthOf& tokens) const override;
  bool shares_unevenly() const override;
  PoolState pool_state(bool waits, Occupancy& now) const override;

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
  std::uint64_t available(std::size_t pool) const;
  /// Whether a pool has no room: for any block, or for the request that waits.
  bool is_full(std::size_t pool, bool waits) const;
  /// Blocks of each pool that a sequence of that length holds.
  void count_ids(std::int64_t tokens, std::vector<std::int64_t>& needed) const;
  bool fits(std::int64_t tokens) const;
  /// Whether the pools hold `needed_`; remembers the first that does not.
  bool check_needed();
  void take(std::size_t group, HeldBlocks& table, std::int64_t count);
  void drop_front(std::size_t group, HeldBlocks& table, std::int64_t first);
  /// @pre prefixes are cached
  void give_back(std::size_t group, BlockId block, std::int64_t index);
  std::int64_t num_freed(std::size_t group, const HeldBlocks& table, std::int64_t first) const;
  std::int64_t admit_cached(Slot slot, const Demand& demand);

  BlocksPlan plan_;
  std::vector<BlockPool> pools_;
  std::optional<CachedPrefixes> prefixes_;
  std::vector<HeldBlocks> tables_;  ///< [slots, groups]
  std::vector<std::int64_t> needed_;
  std::vector<std::int64_t> used_;  ///< blocks that sequences use, of each group; shared ones once
  std::vector<Blocks> held_;
  std::vector<std::int64_t> unused_;  ///< of the blocks that were found, by group
  std::size_t lacking_ = 0;
  std::int64_t remainder_bytes_ = 0;
};

}  // namespace kvprof
