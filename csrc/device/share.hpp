// How a total of bytes or items is divided among the threads.
#pragma once
#include <algorithm>
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

/// The share of one of several threads: they differ by one `grain` at most, but for the rest of the
/// total that no grain divides, which the last one has too.
inline Share share_of(std::int64_t total, std::size_t thread, std::size_t threads,
                      std::int64_t grain) {
  const auto count = static_cast<std::int64_t>(threads);
  const auto place = static_cast<std::int64_t>(thread);
  const std::int64_t grains = total / grain;
  const auto begin_of = [&](std::int64_t i) {
    return (grains / count * i + std::min(i, grains % count)) * grain;
  };
  return {begin_of(place), place + 1 == count ? total : begin_of(place + 1)};
}

}  // namespace kvprof
