// Copies of pages, and rows scattered to their slots.
#include "cuda/grid.cuh"
#include "cuda/walk.cuh"

namespace kvprof::cuda {
namespace {

/// Copies the part from `from` on, unit by unit.
template <class Unit>
__device__ __forceinline__ void copy_units(const Copy& copy, std::uint32_t from) {
  for (std::uint32_t at = from + lane_index() * sizeof(Unit); at + sizeof(Unit) <= copy.nbytes;
       at += warp_lanes * sizeof(Unit)) {
    *pointer<Unit>(copy.to + at) = *pointer<const Unit>(copy.from + at);
  }
}

/// What whole vectors do not cover.
__device__ __forceinline__ void copy_rest(const Copy& copy) {
  const std::uint32_t unit = access_bytes(copy.from | copy.to);
  if (unit == 8) copy_units<std::uint64_t>(copy, 0);
  if (unit == 4) copy_units<std::uint32_t>(copy, 0);
  copy_units<std::uint8_t>(copy, unit == 1 ? 0 : whole_units_bytes(copy.nbytes, unit));
}

__device__ __forceinline__ std::uint32_t vector_part(const Copy& copy) {
  return (copy.from | copy.to) % vector_bytes == 0 ? whole_units_bytes(copy.nbytes, vector_bytes)
                                                   : 0;
}

template <class Copies, class Shape>
__device__ __forceinline__ void copy_all(const Copies& copies, const Division& division) {
  constexpr std::uint32_t step = Shape::depth * warp_lanes * vector_bytes;
  Walk<Copies, Copy> walk(copies, division);
  while (true) {
    Copy held[Shape::width];
    std::uint32_t longest = 0;
    bool ragged = false;
    walk.next(held);
    if (held[0].nbytes == 0) break;
    KVPROF_UNROLL
    for (int w = 0; w < Shape::width; ++w) {
      const std::uint32_t part = vector_part(held[w]);
      longest = part > longest ? part : longest;
      ragged |= part < held[w].nbytes;
    }
    for (std::uint32_t start = 0; start < longest; start += step) {
      uint4 values[Shape::width][Shape::depth];
      KVPROF_UNROLL
      for (int w = 0; w < Shape::width; ++w) {
        KVPROF_UNROLL
        for (int d = 0; d < Shape::depth; ++d) {
          const std::uint32_t at = start + (d * warp_lanes + lane_index()) * vector_bytes;
          if (at < vector_part(held[w])) {
            values[w][d] = load_once(pointer<const uint4>(held[w].from + at));
          }
        }
      }
      KVPROF_UNROLL
      for (int w = 0; w < Shape::width; ++w) {
        KVPROF_UNROLL
        for (int d = 0; d < Shape::depth; ++d) {
          const std::uint32_t at = start + (d * warp_lanes + lane_index()) * vector_bytes;
          if (at < vector_part(held[w])) {
            store_once(pointer<uint4>(held[w].to + at), values[w][d]);
          }
        }
      }
    }
    KVPROF_NO_UNROLL
    for (std::uint32_t back = ragged ? Shape::width : 0; back > 0; --back) {
      const Copy one = walk.again(back);
      if (vector_part(one) < one.nbytes) copy_rest(one);
    }
  }
}

template <class Copies, class Shape>
__global__ void __launch_bounds__(block_threads, least_blocks)
    copy_vector(Copies copies, Division division) {
  copy_all<Copies, Shape>(copies, division);
}

template <class Shape>
__global__ void __launch_bounds__(block_threads, least_blocks)
    append_vector(ListedAppends appends, Division division) {
  copy_all<ListedAppends, Shape>(appends, division);
}

template <class Copies>
Work work_of(const Launch& launch, const Copies& copies, std::size_t variant) {
  return for_variant(variant, [&](auto shape) {
    return persistent_work(launch, block_threads, 0, copies.items(),
                           copy_vector<Copies, decltype(shape)>, copies);
  });
}

}  // namespace

Work copy_work(const Launch& where, const ListedCopies& copies, std::size_t variant) {
  return work_of(where, copies, variant);
}

Work copy_work(const Launch& where, const ContiguousCopies& copies, std::size_t variant) {
  return work_of(where, copies, variant);
}

Work append_work(const Launch& where, const ListedAppends& appends, std::size_t variant) {
  return for_variant(variant, [&](auto shape) {
    return persistent_work(where, block_threads, 0, appends.items(), append_vector<decltype(shape)>,
                           appends);
  });
}

}  // namespace kvprof::cuda
