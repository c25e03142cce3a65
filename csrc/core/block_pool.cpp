// The free list: ids out, ids back, references counted.
#include "core/block_pool.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "core/errors.hpp"

namespace kvprof {
namespace {

constexpr std::uint32_t max_references = std::numeric_limits<std::uint32_t>::max();

[[noreturn]] void refuse(BlockId block, std::uint64_t num_blocks, const char* reason) {
  throw std::invalid_argument("block " + std::to_string(block) + " " + reason + " (the pool has " +
                              std::to_string(num_blocks) + " blocks); nothing was changed");
}

std::uint64_t checked(std::uint64_t num_blocks) {
  if (num_blocks <= BlockPool::max_blocks) return num_blocks;
  throw std::invalid_argument("num_blocks must be 0 to " + std::to_string(BlockPool::max_blocks) +
                              ": got " + std::to_string(num_blocks));
}

}  // namespace

BlockPool::BlockPool(std::uint64_t num_blocks)
    : num_blocks_(checked(num_blocks)), freed_(num_blocks), references_(num_blocks) {}

void BlockPool::require(std::uint64_t count) const {
  if (count > num_free()) throw OutOfBlocks(count, num_free());
}

void BlockPool::allocate(ArrayView<BlockId> blocks) {
  require(blocks.size);
  const auto reused = static_cast<std::size_t>(std::min<std::uint64_t>(blocks.size, num_freed_));
  for (BlockId& block : blocks.first(reused)) {
    block = freed_[--num_freed_];
    references_[block] = 1;
  }
  for (BlockId& block : blocks.skip(reused)) {
    block = static_cast<BlockId>(num_used_++);
    references_[block] = 1;
  }
}

void BlockPool::share(ArrayView<const BlockId> blocks) {
  for (std::size_t i = 0; i < blocks.size; ++i) {
    const BlockId block = blocks[i];
    const bool known = block < num_blocks_;
    if (known && references_[block] != 0 && references_[block] != max_references) {
      ++references_[block];
      continue;
    }
    for (const BlockId shared : blocks.first(i)) --references_[shared];
    refuse(block, num_blocks_,
           known ? "is not allocated, or has every reference it can have" : "is out of range");
  }
}

// One pass that also finds an id listed too often: it sees its own earlier decrements.
void BlockPool::free(ArrayView<const BlockId> blocks) {
  const std::uint64_t before = num_freed_;
  for (std::size_t i = 0; i < blocks.size; ++i) {
    const BlockId block = blocks[i];
    const bool known = block < num_blocks_;
    if (known && references_[block] != 0) {
      if (--references_[block] == 0) freed_[num_freed_++] = block;
      continue;
    }
    for (const BlockId dropped : blocks.first(i)) ++references_[dropped];
    num_freed_ = before;
    refuse(block, num_blocks_,
           known ? "is not allocated, or is listed more often than it has references"
                 : "is out of range");
  }
}

std::uint32_t BlockPool::reference_count(std::uint64_t block) const {
  if (block >= num_blocks_) {
    throw std::invalid_argument("block " + std::to_string(block) +
                                " is out of range (the pool has " + std::to_string(num_blocks_) +
                                " blocks)");
  }
  return references_[block];
}

namespace {

// Fisher-Yates by hand: std::shuffle gives another order in every standard library.
void shuffle(std::vector<BlockId>& blocks) {
  std::mt19937_64 random(1);
  for (std::size_t left = blocks.size(); left > 1; --left) {
    std::swap(blocks[left - 1], blocks[random() % left]);
  }
}

void age(BlockPool& pool) {
  std::vector<BlockId> blocks(pool.num_blocks());
  pool.allocate({blocks.data(), blocks.size()});
  shuffle(blocks);
  pool.free({blocks.data(), blocks.size()});
}

}  // namespace

double time_block_operations(std::uint64_t num_blocks, std::uint64_t batch, std::uint64_t repeats) {
  if (batch < 1 || batch > num_blocks) {
    throw std::invalid_argument("batch must be 1 to " + std::to_string(num_blocks) +
                                " (num_blocks): got " + std::to_string(batch));
  }
  BlockPool pool(num_blocks);
  age(pool);
  std::vector<BlockId> blocks(batch);
  const auto start = std::chrono::steady_clock::now();
  for (std::uint64_t i = 0; i < repeats; ++i) {
    pool.allocate({blocks.data(), blocks.size()});
    pool.free({blocks.data(), blocks.size()});
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace kvprof
