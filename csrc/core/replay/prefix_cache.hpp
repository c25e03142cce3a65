#pragma once
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/block_pool.hpp"

namespace kvprof {

/// Blocks of a pool whose contents are known by a key, kept after their last user until their
/// memory is needed: the least recently used goes first.
///
/// The cache holds one reference of each of its blocks.
class PrefixCache {
 public:
  explicit PrefixCache(BlockPool& pool) : pool_(pool), links_(pool.num_blocks()) {}

  /// Blocks that nobody uses.
  std::uint64_t num_unused() const { return num_unused_; }
  bool holds(BlockId block) const { return links_[block].key.has_value(); }
  std::uint64_t users(BlockId block) const { return pool_.reference_count(block) - 1; }

  std::optional<BlockId> find(std::uint64_t key) const;

  /// Remember an allocated block by a key; its user keeps its reference. A block that nobody uses
  /// gives its key up and returns to the pool; nothing happens when the key's block is used.
  void insert(BlockId block, std::uint64_t key);

  /// A user more.
  void use(BlockId block);

  /// A user less; the last one leaves the block to be found until it is evicted.
  void drop(BlockId block);

  /// As if the block had been used now.
  void touch(BlockId block);

  /// Give the block that nobody has used for longest back to the pool. @pre num_unused() > 0
  void evict() { forget(oldest_); }

 private:
  static constexpr BlockId none = ~BlockId{0};

  struct Link {
    std::optional<std::uint64_t> key;
    BlockId earlier = none;
    BlockId later = none;
  };

  void forget(BlockId unused);
  void unlink(BlockId block);
  void append(BlockId block);

  BlockPool& pool_;
  std::unordered_map<std::uint64_t, BlockId> found_;
  std::vector<Link> links_;
  BlockId oldest_ = none;
  BlockId newest_ = none;
  std::uint64_t num_unused_ = 0;
};

/// The key of what a group keeps of the tokens up to `end_tokens`, in a prompt whose prefix hash
/// there is `hash`.
inline std::uint64_t block_key(std::uint64_t hash, std::uint64_t end_tokens, std::uint64_t group) {
  std::uint64_t mixed = hash + 0x9e3779b97f4a7c15U * (end_tokens + 1 + (group << 40U));
  mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
  return mixed ^ (mixed >> 31U);
}

}  // namespace kvprof
