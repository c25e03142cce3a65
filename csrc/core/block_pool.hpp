#pragma once
#include <cstddef>
#include <cstdint>
#include <limits>

#include "core/array_view.hpp"
#include "core/zeroed_array.hpp"

namespace kvprof {

using BlockId = std::uint32_t;

/// A pool of block ids with a LIFO free list and reference counts.
///
/// Two arrays of 32-bit integers and no object per block: the most recently freed id, whose memory
/// is the likeliest to be cached, is handed out first; ids never used come last, in ascending
/// order. Not thread-safe: callers serialise.
class BlockPool {
 public:
  static constexpr std::uint64_t max_blocks = std::numeric_limits<std::uint32_t>::max() - 1u;

  /// @throw std::invalid_argument when `num_blocks` exceeds `max_blocks`
  /// @throw std::bad_alloc when the system refuses 8 bytes per block
  explicit BlockPool(std::uint64_t num_blocks);

  std::uint64_t num_blocks() const noexcept { return num_blocks_; }
  std::uint64_t num_free() const noexcept { return num_freed_ + (num_blocks_ - num_used_); }

  /// @throw OutOfBlocks when fewer than `count` blocks are free
  void require(std::uint64_t count) const;

  /// Fill `blocks` with ids, each with one reference; all or none.
  ///
  /// @throw OutOfBlocks when fewer are free; nothing has changed then
  void allocate(ArrayView<BlockId> blocks);

  /// Add one reference to each allocated block.
  ///
  /// @throw std::invalid_argument when an id is out of range, not allocated, or has 2**32 - 1
  /// references; nothing has changed then
  void share(ArrayView<const BlockId> blocks);

  /// Drop one reference of each block; at zero it returns to the free list.
  ///
  /// @throw std::invalid_argument when an id is out of range or listed more often than it has
  /// references; nothing has changed then
  void free(ArrayView<const BlockId> blocks);

  /// References of a block; 0 when it is free.
  ///
  /// @throw std::invalid_argument when the id is out of range
  std::uint32_t reference_count(std::uint64_t block) const;

 private:
  std::uint64_t num_blocks_;
  /// Ids below this have been handed out at least once; those from here on were never used.
  std::uint64_t num_used_ = 0;
  /// Ids in `freed_`, a stack.
  std::uint64_t num_freed_ = 0;
  ZeroedArray<std::uint32_t> freed_;
  ZeroedArray<std::uint32_t> references_;
};

/// Seconds that `repeats` pairs of allocate(batch) and free(batch) take on one thread.
///
/// The pool is first aged: filled, then emptied in a shuffled order that is the same every time, so
/// the free list is not sorted.
///
/// @throw std::invalid_argument when `batch` is 0 or more than `num_blocks`
double time_block_operations(std::uint64_t num_blocks, std::uint64_t batch, std::uint64_t repeats);

}  // namespace kvprof
