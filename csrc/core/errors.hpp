#pragma once
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace kvprof {

/// What a group lacked when an operation was refused; `needed_blocks > free_blocks`.
struct Shortage {
  std::size_t group = 0;
  /// New blocks asked for, less those that the same operation would have freed.
  std::uint64_t needed_blocks = 0;
  std::uint64_t free_blocks = 0;
};

/// A pool cannot supply the blocks asked for; nothing was allocated.
class OutOfBlocks : public std::runtime_error {
 public:
  explicit OutOfBlocks(const Shortage& shortage)
      : std::runtime_error("out of blocks: group " + std::to_string(shortage.group) + " needs " +
                           std::to_string(shortage.needed_blocks) + ", has " +
                           std::to_string(shortage.free_blocks) + " free"),
        shortage_(shortage) {}

  const Shortage& shortage() const noexcept { return shortage_; }

 private:
  Shortage shortage_;
};

/// No live sequence has this id.
class UnknownSequence : public std::runtime_error {
 public:
  explicit UnknownSequence(std::int64_t sequence)
      : std::runtime_error("no live sequence " + std::to_string(sequence)) {}
};

}  // namespace kvprof
