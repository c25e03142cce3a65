// Sums of every 64-bit word of spans: by vectors in registers, or through shared memory.
#include "cuda/grid.cuh"
#include "cuda/walk.cuh"

namespace kvprof::cuda {
namespace {

constexpr int bulk_threads = 128;
constexpr int bulk_stages = 4;
constexpr std::uint32_t bulk_warps = bulk_threads / warp_lanes;
constexpr std::size_t bulk_shared_bytes =
    bulk_warps * bulk_stages * (tile_bytes + sizeof(std::uint64_t));

/// Sums the part of a span from `from` on, unit by unit.
template <class Unit>
__device__ __forceinline__ std::uint64_t sum_of_units(const Span& span, std::uint32_t from) {
  std::uint64_t total = 0;
  for (std::uint32_t at = from + lane_index() * sizeof(Unit); at + sizeof(Unit) <= span.nbytes;
       at += warp_lanes * sizeof(Unit)) {
    total += in_word(*pointer<const Unit>(span.address + at), at);
  }
  return total;
}

/// What whole vectors do not cover: a few bytes at an end, or all of a span that no vector starts.
__device__ __forceinline__ std::uint64_t sum_of_rest(const Span& span) {
  const std::uint32_t unit = access_bytes(span.address);
  if (unit == vector_bytes) {
    return sum_of_units<std::uint8_t>(span, whole_units_bytes(span.nbytes, vector_bytes));
  }
  if (unit == 1) return sum_of_units<std::uint8_t>(span, 0);
  const std::uint64_t whole =
      unit == 8 ? sum_of_units<std::uint64_t>(span, 0) : sum_of_units<std::uint32_t>(span, 0);
  return whole + sum_of_units<std::uint8_t>(span, whole_units_bytes(span.nbytes, unit));
}

template <class Spans, class Shape>
__global__ void __launch_bounds__(block_threads, least_blocks)
    read_vector(Spans spans, Totals totals, Division division) {
  Walk<Spans, Span> walk(spans, division);
  std::uint64_t total = 0;
  for_each_vector<Shape>(
      walk,
      [](const Span& span, std::uint32_t at) {
        return load_once(pointer<const uint4>(span.address + at));
      },
      [&](const Span&, std::uint32_t, const uint4& value) {
        total += low_word(value) + high_word(value);
      },
      [&](const Span& span) { total += sum_of_rest(span); });
  add_to_totals(totals, total);
}

/// Each warp has a ring of its own: one lane asks for the next spans while all sum the oldest.
template <class Spans>
__global__ void __launch_bounds__(bulk_threads)
    read_bulk(Spans spans, Totals totals, Division division) {
#if defined(KVPROF_HAS_BULK_COPIES)
  const std::uint32_t warp = threadIdx.x / warp_lanes;
  std::byte* stages = shared_memory() + warp * bulk_stages * tile_bytes;
  auto* barriers =
      reinterpret_cast<std::uint64_t*>(shared_memory() + bulk_warps * bulk_stages * tile_bytes) +
      warp * bulk_stages;
  if (lane_index() == 0) {
    for (int s = 0; s < bulk_stages; ++s) start_barrier(barriers + s);
  }
  __syncwarp();

  Walk<Spans, Span> walk(spans, division);
  Span held[bulk_stages];
  const auto ask = [&](int s) {
    Span next[1];
    walk.next(next);
    held[s] = next[0];
    if (held[s].nbytes == 0 || lane_index() != 0) return;
    const std::uint32_t part = vector_part(held[s]);
    expect_bytes(barriers + s, part);
    if (part > 0) {
      copy_to_shared(stages + s * tile_bytes, pointer<const std::byte>(held[s].address), part,
                     barriers + s);
    }
  };
  KVPROF_UNROLL
  for (int s = 0; s < bulk_stages; ++s) ask(s);

  std::uint64_t total = 0;
  for (std::uint32_t parity = 0; held[0].nbytes > 0; parity ^= 1) {
    KVPROF_UNROLL
    for (int s = 0; s < bulk_stages; ++s) {
      if (held[s].nbytes == 0) continue;
      wait_for(barriers + s, parity);
      const std::uint32_t part = vector_part(held[s]);
      for (std::uint32_t at = lane_index() * vector_bytes; at < part;
           at += warp_lanes * vector_bytes) {
        const uint4 value = *reinterpret_cast<const uint4*>(stages + s * tile_bytes + at);
        total += low_word(value) + high_word(value);
      }
      if (part < held[s].nbytes) total += sum_of_rest(held[s]);
      __syncwarp();  // every lane has read the stage before it is filled again
      ask(s);
    }
  }
  add_to_totals(totals, total);
#endif
}

template <class Spans>
Work work_of(const Launch& launch, const Spans& spans, std::size_t variant, Totals totals) {
  if (variant == vector_variants().size()) {
    return persistent_work(launch, bulk_threads, bulk_shared_bytes, spans.items(), 1,
                           read_bulk<Spans>, spans, totals);
  }
  return for_variant(variant, [&](auto shape) {
    return persistent_work(launch, block_threads, 0, spans.items(), decltype(shape)::width,
                           read_vector<Spans, decltype(shape)>, spans, totals);
  });
}

}  // namespace

std::vector<std::string> vector_variants() { return {"vector_1x8", "vector_4x2", "vector_8x1"}; }

std::vector<std::string> read_variants() {
  std::vector<std::string> names = vector_variants();
  // Compiled for an older device and translated for a newer one, the kernel is empty.
  if (loaded(read_bulk<ContiguousSpans>).ptxVersion >= 90) names.emplace_back("bulk");
  return names;
}

Work read_work(const Launch& where, const ListedSpans& spans, std::size_t variant, Totals totals) {
  return work_of(where, spans, variant, totals);
}

Work read_work(const Launch& where, const ContiguousSpans& spans, std::size_t variant,
               Totals totals) {
  return work_of(where, spans, variant, totals);
}

}  // namespace kvprof::cuda
