// The walk over a list of spans that reading and updating share, in several orders of access.
#pragma once
#include "cpu/kernels.hpp"
#include "cpu/kernels_vector.hpp"

namespace kvprof {
namespace {

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

constexpr std::size_t unroll = 8;

/// Visits one span from its start to its end.
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

/// Visits `streams` spans in turn, `step_bytes` of each, so that the latency of one span's start
/// hides behind the others; what lies beyond the shortest follows span by span. With a distance,
/// the bytes that come so much later are prefetched, at a span's end those of the span that comes
/// next: short spans end before the hardware's prefetcher has found its stride.
template <std::size_t streams, std::size_t step_bytes, std::size_t distance_bytes,
          bool to_l2 = false>
struct Interleaved {
  static constexpr std::size_t width = streams;

  template <class Visit>
  static void visit(const Span* spans, bool has_next, Visit visit, Sum& sum) {
    const std::size_t shortest = shortest_of(spans);
    Sums sums = {};
    std::size_t done = 0;
    if constexpr (distance_bytes == 0) {
      done = steps<false>(spans, done, shortest, spans, 0, visit, sums);
    } else {
      const std::size_t ahead = smaller(shortest, distance_bytes);
      done = steps<true>(spans, done, shortest - ahead, spans, ahead, visit, sums);
      if (has_next) {
        done = steps<true>(spans, done, shortest, spans + streams, ahead - shortest, visit, sums);
      }
      done = steps<false>(spans, done, shortest, spans, 0, visit, sums);
    }
    for (std::size_t i = 0; i < line_vectors; ++i) sum.lanes += sums[i];
    for (std::size_t s = 0; s < streams; ++s) {
      visit_span(spans[s].data + done, spans[s].nbytes - done, visit, sum);
    }
  }

 private:
  static constexpr std::size_t line_vectors = line_bytes / vector_bytes;
  using Sums = Vector[line_vectors];

  static std::size_t shortest_of(const Span* spans) {
    std::size_t shortest = spans[0].nbytes;
    for (std::size_t s = 1; s < streams; ++s) shortest = smaller(shortest, spans[s].nbytes);
    return shortest;
  }

  static void ask(const std::byte* at) {
    if constexpr (to_l2) {
      prefetch_to_l2(at);
    } else {
      __builtin_prefetch(at);
    }
  }

  /// Visits [done, end) of the spans in whole steps and returns how far it came; prefetches what
  /// lies at the same place, `shift` bytes on (modulo 2**64), in the spans `asked`.
  template <bool prefetch, class Visit>
  static std::size_t steps(const Span* spans, std::size_t done, std::size_t end, const Span* asked,
                           std::size_t shift, Visit visit, Sums& sums) {
    for (; done + step_bytes <= end; done += step_bytes) {
      for (std::size_t s = 0; s < streams; ++s) {
        for (std::size_t at = done; at < done + step_bytes; at += line_bytes) {
          if constexpr (prefetch) ask(asked[s].data + (at + shift));
          for (std::size_t i = 0; i < line_vectors; ++i) {
            sums[i] += visit.vector(spans[s].data + at + i * vector_bytes);
          }
        }
      }
    }
    return done;
  }
};

/// One span after the other.
struct OneByOne {
  static constexpr std::size_t width = 1;

  template <class Visit>
  static void visit(const Span* spans, bool, Visit visit, Sum& sum) {
    visit_span(spans->data, spans->nbytes, visit, sum);
  }
};

template <class Order, class Visit>
std::uint64_t visit_spans(const Span* spans, std::size_t count, std::size_t ahead, Visit visit) {
  Sum sum;
  std::size_t i = 0;
  for (; i + Order::width <= count; i += Order::width) {
    Order::visit(spans + i, i + 2 * Order::width <= count + ahead, visit, sum);
  }
  for (; i < count; ++i) visit_span(spans[i].data, spans[i].nbytes, visit, sum);
  return sum.total();
}

using EightPages = Interleaved<8, 64, 0>;
using EightPagesAhead = Interleaved<8, 64, 512>;
using EightPagesToL2 = Interleaved<8, 64, 512, true>;
using FourPagesAhead = Interleaved<4, 256, 2048>;

/// The variants of a kernel template over the orders above: each was the fastest for some size of
/// page. Which is depends on the machine, so they are timed there.
#define KVPROF_VISIT_VARIANTS(kernel)                                                              \
  {"eight_pages", kernel<EightPages>}, {"eight_pages_ahead", kernel<EightPagesAhead>},             \
      {"eight_pages_to_l2", kernel<EightPagesToL2>}, {"four_pages_ahead", kernel<FourPagesAhead>}, \
  {                                                                                                \
    "page", kernel<OneByOne>                                                                       \
  }

}  // namespace
}  // namespace kvprof
