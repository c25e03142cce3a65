// The threads of a warp that wait for each other to exchange a value.
#pragma once
#include <cstdint>

namespace emulated {

struct Warp {
  static constexpr unsigned kLanes = 32;

  std::uint32_t exited = 0;  ///< lanes that have ended or never were
  std::uint32_t arrived = 0;
  std::uint32_t mask[kLanes] = {};
  unsigned source[kLanes] = {};
  std::uint64_t given[kLanes] = {};
  // What a lane gets is its own to keep: the others may be in their next exchange before it looks.
  std::uint64_t taken[kLanes] = {};

  void arrive(unsigned lane, std::uint32_t lanes, std::uint64_t value, unsigned from) {
    arrived |= 1u << lane;
    mask[lane] = lanes;
    given[lane] = value;
    source[lane] = from;
  }

  /// Ends the exchange among lanes when all that have not exited are there with the same mask.
  /// Returns them, 0 while some are missing.
  std::uint32_t finish(std::uint32_t lanes) {
    const std::uint32_t needed = lanes & ~exited;
    if ((arrived & needed) != needed) return 0;
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      if (has(needed, lane) && mask[lane] != lanes) return 0;
    }
    for (unsigned lane = 0; lane < kLanes; ++lane) {
      if (has(needed, lane)) taken[lane] = given[source[lane]];
    }
    arrived &= ~needed;
    return needed;
  }

  static bool has(std::uint32_t lanes, unsigned lane) { return (lanes >> lane & 1u) != 0; }
};

}  // namespace emulated
