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

template <class Copies, class Shape>
__global__ void __launch_bounds__(block_threads, least_blocks)
    copy_vector(Copies copies, Division division) {
  Walk<Copies, Copy> walk(copies, division);
  for_each_vector<Shape>(
      walk,
      [](const Copy& copy, std::uint32_t at) {
        return load_once(pointer<const uint4>(copy.from + at));
      },
      [](const Copy& copy, std::uint32_t at, const uint4& value) {
        store_once(pointer<uint4>(copy.to + at), value);
      },
      [](const Copy& copy) { copy_rest(copy); });
}

template <class Copies>
Work work_of(const Launch& launch, const Copies& copies, std::size_t variant) {
  return for_variant(variant, [&](auto shape) {
    return persistent_work(launch, block_threads, 0, copies.items(), decltype(shape)::width,
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
  return work_of(where, appends, variant);
}

}  // namespace kvprof::cuda
