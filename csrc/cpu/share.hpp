// How a total of bytes or items is divided among the threads.
#pragma once
#include <cstddef>
#include <cstdint>

namespace kvprof {

/// [begin, end) of a total.
struct Share {
  std::int64_t begin;
  std::int64_t end;
};

/// Shares of contiguous memory end on page boundaries, so that each page is touched by one thread.
constexpr std::int64_t page_grain = 4096;

/// The share of one of several threads: even ones, cut at multiples of `grain`.
inline Share share_of(std::int64_t total, std::size_t thread, std::size_t threads,
                      std::int64_t grain) {
  const auto count = static_cast<std::int64_t>(threads);
  const std::int64_t each = total / count / grain * grain;
  const std::int64_t begin = each * static_cast<std::int64_t>(thread);
  return {begin, thread + 1 == threads ? total : begin + each};
}

}  // namespace kvprof
