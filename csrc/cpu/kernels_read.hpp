// The kernels that read: sums of 64-bit words.
#pragma once
#include "cpu/kernels_visit.hpp"

namespace kvprof {
namespace {

/// Reads words and hands them on.
struct Read {
  Vector vector(std::byte* at) const { return load(at); }
  std::uint64_t word(std::byte* at, std::size_t nbytes) const {
    std::uint64_t value = 0;
    std::memcpy(&value, at, nbytes);
    return value;
  }
};

template <class Order>
std::uint64_t read(const Span* spans, std::size_t count, std::size_t ahead) {
  return visit_spans<Order>(spans, count, ahead, Read{});
}

constexpr Variant<ReadKernel> read_variants[] = {KVPROF_VISIT_VARIANTS(read)};

std::uint64_t read_plain_loop(const Span* spans, std::size_t count, std::size_t) {
  std::uint64_t total = 0;
  for (const Span* span = spans; span != spans + count; ++span) {
    std::size_t done = 0;
    for (; done + word_bytes <= span->nbytes; done += word_bytes) {
      total += Read{}.word(span->data + done, word_bytes);
    }
    if (done < span->nbytes) total += Read{}.word(span->data + done, span->nbytes - done);
  }
  return total;
}

}  // namespace
}  // namespace kvprof
