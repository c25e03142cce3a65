// What a kernel names besides C++: qualifiers, its place in the grid, warp operations.
#pragma once
#include <cstdint>
#include <cstring>

#include "emulated/vector_types.h"

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))

// __thread and not thread_local: no wrapper call at each use of another file's variable.
extern __thread uint3 threadIdx;
extern __thread uint3 blockIdx;
extern __thread dim3 blockDim;
extern __thread dim3 gridDim;

void __syncwarp(unsigned mask = 0xffffffffu);
long long clock64();

namespace emulated {

/// Waits for the lanes of mask, each giving a value; returns the one of lane.
std::uint64_t exchange(unsigned mask, std::uint64_t value, int lane);
/// The calling thread's lane of its warp.
int lane_id();

template <typename T>
T shuffle(unsigned mask, T value, int lane) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "the warp exchanges 4 or 8 bytes");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = exchange(mask, bits, lane);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace emulated

template <typename T>
T __shfl_sync(unsigned mask, T value, int lane) {
  return emulated::shuffle(mask, value, lane & 31);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return emulated::shuffle(mask, value, (emulated::lane_id() ^ bits) & 31);
}

inline unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
