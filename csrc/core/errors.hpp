#pragma once
#include <cstdint>
#include <stdexcept>
#include <string>

namespace kvprof {

/// A pool cannot supply the blocks asked for; nothing was allocated.
class OutOfBlocks : public std::runtime_error {
 public:
  OutOfBlocks(std::uint64_t needed_blocks, std::uint64_t free_blocks)
      : std::runtime_error("out of blocks: needs " + std::to_string(needed_blocks) + ", has " +
                           std::to_string(free_blocks) + " free"),
        needed_blocks_(needed_blocks),
        free_blocks_(free_blocks) {}

  std::uint64_t needed_blocks() const noexcept { return needed_blocks_; }
  std::uint64_t free_blocks() const noexcept { return free_blocks_; }

 private:
  std::uint64_t needed_blocks_;
  std::uint64_t free_blocks_;
};

}  // namespace kvprof
