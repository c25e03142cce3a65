// The share of a page plan that one thread streams.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpu/kernels.hpp"
#include "device/address_plan.hpp"
#include "device/share.hpp"

namespace kvprof {

/// Walks the bytes of a plan in the plan's order, from one position to another, and hands them out
/// as spans of memory: long runs in several, segments of a run that lie one behind the other in
/// one. A run that is cut between two threads is cut at a multiple of 64 bytes from its start, so
/// that the words of a checksum are the same however it is cut.
class PageSpans {
 public:
  PageSpans(const PagePlan& plan, std::byte* memory, Share share);

  /// Writes the next spans to `spans`, at most `capacity`, and returns how many; 0 at the end.
  std::size_t next(Span* spans, std::size_t capacity);

 private:
  void advance();

  const PagePlan& plan_;
  const Placement& placement_;
  std::byte* memory_;
  Share share_;
  std::int64_t layer_ = 0;
  std::size_t run_ = 0;
  std::size_t segment_ = 0;
  std::int64_t handed_out_ = 0;  ///< of the current segment of the current run, in its bytes
  std::int64_t position_ = 0;    ///< of the current segment of the current run, in the plan's bytes
};

/// Calls kernel(spans, count, ahead) on a few hundred spans at a time; returns the sum of what it
/// returns. The spans counted by `ahead` lie behind the others and come again in the next call.
template <class Kernel>
std::uint64_t for_spans(PageSpans& source, Kernel kernel) {
  constexpr std::size_t capacity = 256;
  constexpr std::size_t held_back = 8;
  Span spans[capacity];
  std::uint64_t total = 0;
  std::size_t held = source.next(spans, capacity);
  while (held > 0) {
    const std::size_t count = held == capacity ? capacity - held_back : held;
    total += kernel(spans, count, held - count);
    for (std::size_t i = count; i < held; ++i) spans[i - count] = spans[i];
    held -= count;
    held += source.next(spans + held, capacity - held);
  }
  return total;
}

}  // namespace kvprof
