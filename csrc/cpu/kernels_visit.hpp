// The kernels that visit every word under a list of spans: sum and add.
#pragma once
#include "cpu/kernels.hpp"
#include "cpu/kernels_vector.hpp"

namespace kvprof {
namespace {

constexpr std::size_t unroll = 8;

/// Reads words and hands them on.
struct Read {
  static constexpr std::size_t prefetch_below_bytes = 4096;
  Vector vector(std::byte* at) const { return load(at); }
  std::uint64_t word(std::byte* at, std::size_t nbytes) const {
    std::uint64_t value = 0;
    std::memcpy(&value, at, nbytes);
    return value;
  }
};

/// Adds to words in place and hands the new ones on.
struct Add {
  static constexpr std::size_t prefetch_below_bytes = 32768;
  std::uint64_t addend;
  Vector vector(std::byte* at) const {
    const Vector value = load(at) + addend;
    store(at, value);
    return value;
  }
  std::uint64_t word(std::byte* at, std::size_t nbytes) const {
    std::uint64_t value = 0;
    std::memcpy(&value, at, nbytes);
    value += addend;
    std::memcpy(at, &value, nbytes);
    // The last bytes of a run are a word of their own: what does not fit in them is lost.
    return nbytes == word_bytes ? value : value & ((std::uint64_t{1} << (8 * nbytes)) - 1);
  }
};

/// A sum in the making: reduced to one number only at the end.
struct Sum {
  Vector lanes = {};
  std::uint64_t words = 0;

  std::uint64_t total() const {
    std::uint64_t total = words;
    for (std::size_t lane = 0; lane < vector_words; ++lane) total += lanes[lane];
    return total;
  }
};

template <class Visit>
void visit_span(std::byte* at, std::size_t nbytes, Visit visit, Sum& sum) {
  Vector sums[unroll] = {};
  for (; nbytes >= unroll * vector_bytes; nbytes -= unroll * vector_bytes) {
    for (std::size_t i = 0; i < unroll; ++i) sums[i] += visit.vector(at + i * vector_bytes);
    at += unroll * vector_bytes;
  }
  for (std::size_t i = 0; i < unroll; ++i) sum.lanes += sums[i];
  for (; nbytes >= vector_bytes; at += vector_bytes, nbytes -= vector_bytes) {
    sum.lanes += visit.vector(at);
  }
  for (; nbytes >= word_bytes; at += word_bytes, nbytes -= word_bytes) {
    sum.words += visit.word(at, word_bytes);
  }
  if (nbytes > 0) sum.words += visit.word(at, nbytes);
}

constexpr std::size_t streams = 8;
constexpr std::size_t line_bytes = 64;

inline std::size_t shortest_of(const Span* spans) {
  std::size_t shortest = spans[0].nbytes;
  for (std::size_t s = 1; s < streams; ++s) {
    if (spans[s].nbytes < shortest) shortest = spans[s].nbytes;
  }
  return shortest;
}

/// Visits eight spans in turn, a cache line of each, so that the latency of one span's start hides
/// behind the others. What lies beyond the shortest follows span by span. The lines of the next
/// eight are prefetched where spans are short: they end before the hardware's prefetcher has found
/// its stride. In longer ones the hints only cost (where that turns was measured on Zen 5).
template <bool prefetch, class Visit>
void visit_group(const Span* spans, Visit visit, Sum& sum) {
  const std::size_t shortest = shortest_of(spans);
  constexpr std::size_t line_vectors = line_bytes / vector_bytes;
  Vector sums[line_vectors] = {};
  std::size_t done = 0;
  for (; done + line_bytes <= shortest; done += line_bytes) {
    for (std::size_t s = 0; s < streams; ++s) {
      if constexpr (prefetch) __builtin_prefetch(spans[streams + s].data + done);
      std::byte* at = spans[s].data + done;
      for (std::size_t i = 0; i < line_vectors; ++i) {
        sums[i] += visit.vector(at + i * vector_bytes);
      }
    }
  }
  for (std::size_t i = 0; i < line_vectors; ++i) sum.lanes += sums[i];
  for (std::size_t s = 0; s < streams; ++s) {
    if (spans[s].nbytes == done) continue;
    if constexpr (prefetch) __builtin_prefetch(spans[streams + s].data + done);
    visit_span(spans[s].data + done, spans[s].nbytes - done, visit, sum);
  }
}

template <class Visit>
std::uint64_t visit_spans(const Span* spans, std::size_t count, std::size_t ahead, Visit visit) {
  Sum sum;
  std::size_t i = 0;
  for (; i + streams <= count; i += streams) {
    const bool has_next = i + 2 * streams <= count + ahead;
    if (has_next && spans[i].nbytes < Visit::prefetch_below_bytes) {
      visit_group<true>(spans + i, visit, sum);
    } else {
      visit_group<false>(spans + i, visit, sum);
    }
  }
  for (; i < count; ++i) visit_span(spans[i].data, spans[i].nbytes, visit, sum);
  return sum.total();
}

std::uint64_t sum(const Span* spans, std::size_t count, std::size_t ahead) {
  return visit_spans(spans, count, ahead, Read{});
}

std::uint64_t add(const Span* spans, std::size_t count, std::size_t ahead, std::uint64_t addend) {
  return visit_spans(spans, count, ahead, Add{addend});
}

}  // namespace
}  // namespace kvprof
