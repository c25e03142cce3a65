// Writing without reading: a repeated word, and pseudo-random bytes.
#include "cuda/grid.cuh"
#include "cuda/walk.cuh"

namespace kvprof::cuda {
namespace {

/// Writes a span from `from` on, unit by unit.
template <class Unit>
__device__ __forceinline__ void write_units(const Span& span, std::uint32_t from,
                                            std::uint64_t word) {
  for (std::uint32_t at = from + lane_index() * sizeof(Unit); at + sizeof(Unit) <= span.nbytes;
       at += warp_lanes * sizeof(Unit)) {
    *pointer<Unit>(span.address + at) = static_cast<Unit>(of_pattern(word, at));
  }
}

__device__ __forceinline__ void write_span(const Span& span, std::uint64_t word) {
  const std::uint32_t unit = access_bytes(span.address);
  const std::uint32_t whole = whole_units_bytes(span.nbytes, unit);
  if (unit == vector_bytes) {
    const uint4 value = vector_of(word, word);
    for (std::uint32_t at = lane_index() * vector_bytes; at < whole;
         at += warp_lanes * vector_bytes) {
      store_once(pointer<uint4>(span.address + at), value);
    }
  } else if (unit == 8) {
    write_units<std::uint64_t>(span, 0, word);
  } else if (unit == 4) {
    write_units<std::uint32_t>(span, 0, word);
  } else {
    write_units<std::uint8_t>(span, 0, word);
  }
  if (whole < span.nbytes) write_units<std::uint8_t>(span, whole, word);
}

template <class Spans>
__global__ void __launch_bounds__(block_threads, least_blocks)
    write_pattern(Spans spans, std::uint64_t word, Division division) {
  Walk<Spans, Span> walk(spans, division);
  Span span[1];
  for (walk.next(span); span[0].nbytes > 0; walk.next(span)) write_span(span[0], word);
}

/// splitmix64's output function (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014).
__device__ __forceinline__ std::uint64_t splitmix(std::uint64_t state, bool finite) {
  state = (state ^ (state >> 30)) * std::uint64_t{0xBF58476D1CE4E5B9};
  state = (state ^ (state >> 27)) * std::uint64_t{0x94D049BB133111EB};
  state = state ^ (state >> 31);
  // Signs and mantissas of bfloat16 as drawn, exponents of [0.5, 1): finite at every width.
  return finite ? (state & 0x807F807F807F807F) | 0x3F003F003F003F00 : state;
}

struct Random {
  std::uint64_t origin;
  std::uint64_t seed;
  bool finite;

  __device__ __forceinline__ std::uint64_t word_at(std::uint64_t address) const {
    const std::uint64_t index = (address - origin) / word_bytes;
    return splitmix(seed + (index + 1) * std::uint64_t{0x9E3779B97F4A7C15}, finite);
  }
};

__global__ void __launch_bounds__(block_threads, least_blocks)
    fill_random(ContiguousSpans spans, Random random, Division division) {
  Walk<ContiguousSpans, Span> walk(spans, division);
  Span held[1];
  for (walk.next(held); held[0].nbytes > 0; walk.next(held)) {
    const Span span = held[0];
    const std::uint64_t end = span.address + span.nbytes;
    // The vectors that the span touches, of which the first and the last may be cut.
    for (std::uint64_t at =
             span.address / vector_bytes * vector_bytes + lane_index() * vector_bytes;
         at < end; at += warp_lanes * vector_bytes) {
      const std::uint64_t low = random.word_at(at);
      const std::uint64_t high = random.word_at(at + word_bytes);
      if (at >= span.address && at + vector_bytes <= end) {
        store_once(pointer<uint4>(at), vector_of(low, high));
        continue;
      }
      for (std::uint32_t i = 0; i < vector_bytes; ++i) {
        if (at + i >= span.address && at + i < end) {
          *pointer<std::uint8_t>(at + i) =
              static_cast<std::uint8_t>(of_pattern(i < word_bytes ? low : high, i));
        }
      }
    }
  }
}

}  // namespace

Work write_work(const Launch& where, const ListedSpans& spans, std::uint64_t word) {
  return persistent_work(where, block_threads, 0, spans.items(), 1, write_pattern<ListedSpans>,
                         spans, word);
}

Work write_work(const Launch& where, const ContiguousSpans& spans, std::uint64_t word) {
  return persistent_work(where, block_threads, 0, spans.items(), 1, write_pattern<ContiguousSpans>,
                         spans, word);
}

Work fill_work(const Launch& where, std::uint64_t origin, const ContiguousSpans& span,
               std::uint64_t seed, bool finite) {
  return persistent_work(where, block_threads, 0, span.items(), 1, fill_random, span,
                         Random{origin, seed, finite});
}

}  // namespace kvprof::cuda
