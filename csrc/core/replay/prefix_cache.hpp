#pragma once
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/array_view.hpp"
#include "core/block_pool.hpp"
#include "core/zeroed_array.hpp"

namespace kvprof {

/// Blocks of a pool whose contents are known by a key and a number, kept after their last user
/// until their memory is needed: the least recently used goes first.
///
/// Blocks of one key stand side by side, so that a key is looked up once for all of them. The cache
/// holds one reference of each of its blocks.
class PrefixCache {
 public:
  /// No block.
  static constexpr BlockId none = ~BlockId{0};

  /// @param blocks_per_key  numbers of the blocks of a key: 0 up to this
  PrefixCache(BlockPool& pool, std::size_t blocks_per_key);

  /// Blocks that nobody uses.
  std::uint64_t num_unused() const { return num_unused_; }
  bool holds(BlockId block) const { return links_[block].span != 0; }
  std::uint64_t users(BlockId block) const { return pool_.reference_count(block) - 1; }

  /// The blocks of a key by number, `none` for each that is not there; good until the next change.
  ArrayView<const BlockId> find(std::uint64_t key) const;

  /// Remember allocated blocks by a key and the numbers from `number` on; their user keeps its
  /// references. A block that nobody uses gives its place up and returns to the pool; nothing
  /// happens where the block in its place is used.
  void insert(ArrayView<const BlockId> blocks, std::uint64_t key, std::size_t number);

  /// A user more.
  void use(BlockId block);

  /// A user less; the last one leaves the block to be found until it is evicted.
  void drop(BlockId block);

  /// As if the block had been used now.
  void touch(BlockId block);

  /// Give the block that nobody has used for longest back to the pool. @pre num_unused() > 0
  void evict() { forget(oldest_); }

 private:
  /// The blocks of one key.
  struct Span {
    std::uint64_t key = 0;
    std::size_t num_blocks = 0;
  };

  /// Where a block that the cache holds has its place, and its neighbours while it is unused.
  struct Link {
    std::uint32_t span;  ///< 0: it holds none
    std::uint32_t number;
    BlockId earlier;
    BlockId later;
  };

  BlockId* blocks_of(std::uint32_t span) { return blocks_.data() + span * blocks_per_key_; }
  std::uint32_t span_of(std::uint64_t key);
  void leave(std::uint32_t span);
  void forget(BlockId unused);
  void unlink(BlockId block);
  void append(BlockId block);

  BlockPool& pool_;
  std::size_t blocks_per_key_;
  std::unordered_map<std::uint64_t, std::uint32_t> found_;
  std::vector<Span> spans_;      ///< the first one is empty for ever
  std::vector<BlockId> blocks_;  ///< [spans, blocks_per_key]
  std::vector<std::uint32_t> unused_spans_;
  ZeroedArray<Link> links_;  ///< [blocks]
  BlockId oldest_ = none;
  BlockId newest_ = none;
  std::uint64_t num_unused_ = 0;
};

/// The key of what a group keeps of a prompt: its prefix hash there is `hash`, and `position` tells
/// apart what has the same hash.
inline std::uint64_t block_key(std::uint64_t hash, std::uint64_t position, std::uint64_t group) {
  std::uint64_t mixed = hash + 0x9e3779b97f4a7c15U * (position + 1 + (group << 40U));
  mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
  return mixed ^ (mixed >> 31U);
}

}  // namespace kvprof
