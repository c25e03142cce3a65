// Updates in place: integers, and the floats that recurrent states are kept in.
#include "cuda/grid.cuh"
#include "cuda/walk.cuh"

namespace kvprof::cuda {
namespace {

__device__ __forceinline__ float as_float(std::uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
__device__ __forceinline__ std::uint32_t as_bits(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/// Each takes a word of `nbytes` bytes, eight but at the end of a run, and returns the new one.
struct AddWords {
  std::uint64_t addend;
  __device__ __forceinline__ std::uint64_t operator()(std::uint64_t word,
                                                      std::uint32_t nbytes) const {
    const std::uint64_t mask =
        nbytes == word_bytes ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * nbytes)) - 1;
    return (word + addend) & mask;
  }
};

struct DecayFloat32 {
  float decay;
  float input;
  __device__ __forceinline__ std::uint64_t operator()(std::uint64_t word,
                                                      std::uint32_t nbytes) const {
    const std::uint64_t lower = decayed(static_cast<std::uint32_t>(word));
    if (nbytes == sizeof(float)) return lower;
    return lower | static_cast<std::uint64_t>(decayed(static_cast<std::uint32_t>(word >> 32)))
                       << 32;
  }
  __device__ __forceinline__ std::uint32_t decayed(std::uint32_t bits) const {
    return as_bits(sum(product(as_float(bits), decay), input));
  }
};

struct DecayBfloat16 {
  float decay;
  float input;
  __device__ __forceinline__ std::uint64_t operator()(std::uint64_t word,
                                                      std::uint32_t nbytes) const {
    std::uint64_t updated = 0;
    KVPROF_UNROLL
    for (std::uint32_t at = 0; at < word_bytes; at += 2) {
      if (at < nbytes) updated |= decayed(word >> (8 * at)) << (8 * at);
    }
    return updated;
  }
  /// In float32, then rounded to nearest even.
  __device__ __forceinline__ std::uint64_t decayed(std::uint64_t bits) const {
    const float value = as_float(static_cast<std::uint32_t>(bits & 0xFFFF) << 16);
    const std::uint32_t exact = as_bits(sum(product(value, decay), input));
    return (exact + ((exact >> 16) & 1) + 0x7FFF) >> 16;
  }
};

/// Updates a span from `from` on word by word, each put together from the widest accesses that its
/// address allows.
template <class Unit, class Element>
__device__ __forceinline__ std::uint64_t update_words(const Span& span, std::uint32_t from,
                                                      const Element& element) {
  std::uint64_t total = 0;
  for (std::uint32_t at = from + lane_index() * word_bytes; at < span.nbytes;
       at += warp_lanes * word_bytes) {
    const std::uint32_t left = span.nbytes - at;
    const std::uint32_t nbytes = left < word_bytes ? left : word_bytes;
    const bool whole = nbytes == word_bytes;
    std::uint64_t word = 0;
    if (whole) {
      for (std::uint32_t i = 0; i < word_bytes; i += sizeof(Unit)) {
        word |= in_word(*pointer<const Unit>(span.address + at + i), i);
      }
    } else {
      for (std::uint32_t i = 0; i < nbytes; ++i) {
        word |= in_word(*pointer<const std::uint8_t>(span.address + at + i), i);
      }
    }
    word = element(word, nbytes);
    total += word;
    if (whole) {
      for (std::uint32_t i = 0; i < word_bytes; i += sizeof(Unit)) {
        *pointer<Unit>(span.address + at + i) = static_cast<Unit>(of_pattern(word, i));
      }
    } else {
      for (std::uint32_t i = 0; i < nbytes; ++i) {
        *pointer<std::uint8_t>(span.address + at + i) =
            static_cast<std::uint8_t>(of_pattern(word, i));
      }
    }
  }
  return total;
}

/// What whole vectors do not cover.
template <class Element>
__device__ __forceinline__ std::uint64_t update_rest(const Span& span, const Element& element) {
  switch (access_bytes(span.address)) {
    case vector_bytes:
      return update_words<std::uint64_t>(span, whole_units_bytes(span.nbytes, vector_bytes),
                                         element);
    case 8:
      return update_words<std::uint64_t>(span, 0, element);
    case 4:
      return update_words<std::uint32_t>(span, 0, element);
    default:
      return update_words<std::uint8_t>(span, 0, element);
  }
}

template <class Spans, class Element, class Shape>
__global__ void __launch_bounds__(block_threads, least_blocks)
    update_vector(Spans spans, Element element, Totals totals, Division division) {
  Walk<Spans, Span> walk(spans, division);
  std::uint64_t total = 0;
  for_each_vector<Shape>(
      walk,
      [](const Span& span, std::uint32_t at) {
        return load_in_place(pointer<const uint4>(span.address + at));
      },
      [&](const Span& span, std::uint32_t at, const uint4& value) {
        const std::uint64_t low = element(low_word(value), word_bytes);
        const std::uint64_t high = element(high_word(value), word_bytes);
        store_once(pointer<uint4>(span.address + at), vector_of(low, high));
        total += low + high;
      },
      [&](const Span& span) { total += update_rest(span, element); });
  add_to_totals(totals, total);
}

template <class Spans, class Element>
Work element_work(const Launch& launch, const Spans& spans, const Element& element,
                  std::size_t variant, Totals totals) {
  return for_variant(variant, [&](auto shape) {
    return persistent_work(launch, block_threads, 0, spans.items(), decltype(shape)::width,
                           update_vector<Spans, Element, decltype(shape)>, spans, element, totals);
  });
}

}  // namespace

Work update_work(const Launch& where, const ListedSpans& spans, const Update& update,
                 std::size_t variant, Totals totals) {
  switch (update.element) {
    case Element::float32:
      return element_work(where, spans, DecayFloat32{update.decay, update.input}, variant, totals);
    case Element::bfloat16:
      return element_work(where, spans, DecayBfloat16{update.decay, update.input}, variant, totals);
    case Element::word64:
      break;
  }
  return element_work(where, spans, AddWords{update.addend}, variant, totals);
}

Work update_work(const Launch& where, const ContiguousSpans& spans, std::uint64_t addend,
                 std::size_t variant, Totals totals) {
  return element_work(where, spans, AddWords{addend}, variant, totals);
}

}  // namespace kvprof::cuda
