// A warp's way through the work of a grid: spans or copies, one after another.
#pragma once
#include "cuda/instructions.cuh"
#include "cuda/kernels.hpp"

namespace kvprof::cuda {

/// The first warps of all blocks come first: a few items are spread over all multiprocessors.
__device__ __forceinline__ std::int64_t warp_index() {
  return static_cast<std::int64_t>(threadIdx.x / warp_lanes) * gridDim.x + blockIdx.x;
}
__device__ __forceinline__ std::uint32_t lane_index() { return threadIdx.x % warp_lanes; }

__device__ __forceinline__ Span broadcast(const Span& span, std::uint32_t lane) {
  return {__shfl_sync(all_lanes, span.address, static_cast<int>(lane)),
          __shfl_sync(all_lanes, span.nbytes, static_cast<int>(lane))};
}
__device__ __forceinline__ Copy broadcast(const Copy& copy, std::uint32_t lane) {
  return {__shfl_sync(all_lanes, copy.from, static_cast<int>(lane)),
          __shfl_sync(all_lanes, copy.to, static_cast<int>(lane)),
          __shfl_sync(all_lanes, copy.nbytes, static_cast<int>(lane))};
}

/// Hands the items of a warp to all of its lanes, empty ones at the end and from then on. Each
/// lane holds one item of the chunk at hand and one of the next, which is fetched a chunk early: a
/// list that must be read before the address is known costs no waiting.
template <class List, class Item>
class Walk {
 public:
  __device__ __forceinline__ Walk(const List& list, const Division& division)
      : list_(list), division_(division), chunk_(warp_index()) {
    held_ = fetch(chunk_);
    ahead_ = fetch(chunk_ + division_.warps);
  }

  /// The next items, as many as there are in the chunk at hand; none only at the end.
  template <int width>
  __device__ __forceinline__ void next(Item (&items)[width]) {
    static_assert(warp_lanes % width == 0, "a group of lanes holds the items of a step");
    if (at_ >= division_.count(chunk_)) {
      chunk_ += division_.warps;
      at_ = 0;
      held_ = ahead_;
      ahead_ = fetch(chunk_ + division_.warps);
    }
    // Lanes beyond the chunk hold nothing.
    KVPROF_UNROLL
    for (int i = 0; i < width; ++i) items[i] = broadcast(held_, at_ + i);
    at_ += width;
  }

  /// One of the items that `next` has just handed out, `back` from the end of them: for a loop that
  /// is not unrolled, since an array of registers has no index at run time.
  __device__ __forceinline__ Item again(std::uint32_t back) const {
    return broadcast(held_, at_ - back);
  }

 private:
  __device__ __forceinline__ Item fetch(std::int64_t chunk) const {
    const std::uint32_t lane = lane_index();
    return lane < division_.count(chunk) ? list_.at(division_.first(chunk) + lane) : Item{};
  }

  const List& list_;
  const Division& division_;
  std::int64_t chunk_;
  std::uint32_t at_ = 0;
  Item held_;
  Item ahead_;
};

/// Bytes at the start of an item that whole vectors cover: none of one that no vector starts.
__device__ __forceinline__ std::uint32_t vector_part(const Span& span) {
  return span.address % vector_bytes == 0 ? whole_units_bytes(span.nbytes, vector_bytes) : 0;
}
__device__ __forceinline__ std::uint32_t vector_part(const Copy& copy) {
  return (copy.from | copy.to) % vector_bytes == 0 ? whole_units_bytes(copy.nbytes, vector_bytes)
                                                   : 0;
}

/// Calls use(item, at, load(item, at)) for every vector of every item of a walk, `at` bytes into
/// it, and rest(item) for an item that vectors do not cover. A warp takes `Shape::width` items at
/// once, each lane `Shape::depth` vectors of each; all loads of a step come before the first use.
template <class Shape, class List, class Item, class Load, class Use, class Rest>
__device__ __forceinline__ void for_each_vector(Walk<List, Item>& walk, Load load, Use use,
                                                Rest rest) {
  constexpr std::uint32_t step = Shape::depth * warp_lanes * vector_bytes;
  while (true) {
    Item held[Shape::width];
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
          if (at < vector_part(held[w])) values[w][d] = load(held[w], at);
        }
      }
      KVPROF_UNROLL
      for (int w = 0; w < Shape::width; ++w) {
        KVPROF_UNROLL
        for (int d = 0; d < Shape::depth; ++d) {
          const std::uint32_t at = start + (d * warp_lanes + lane_index()) * vector_bytes;
          if (at < vector_part(held[w])) use(held[w], at, values[w][d]);
        }
      }
    }
    KVPROF_NO_UNROLL
    for (std::uint32_t back = ragged ? Shape::width : 0; back > 0; --back) {
      const Item one = walk.again(back);
      if (vector_part(one) < one.nbytes) rest(one);
    }
  }
}

/// Adds the sums of all lanes of a warp to one of the totals.
__device__ __forceinline__ void add_to_totals(Totals totals, std::uint64_t value) {
  for (int distance = warp_lanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(all_lanes, value, distance);
  }
  if (lane_index() == 0) {
    atomicAdd(totals + warp_index() % checksum_words, static_cast<unsigned long long>(value));
  }
}

}  // namespace kvprof::cuda
