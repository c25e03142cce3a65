// What a kernel names besides C++: qualifiers, its place in the grid, warp and block operations.
#pragma once
#include <cstdint>
#include <cstring>

#include "emulated/vector_types.h"

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
// Empty: libstdc++ writes __attribute__((__noinline__)).
#define __noinline__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
// The blocks of a stream run one after another on one thread, so they can share a static.
#define __shared__ static thread_local

// __thread and not thread_local: no wrapper call at each use of another file's variable.
extern __thread uint3 threadIdx;
extern __thread uint3 blockIdx;
extern __thread dim3 blockDim;
extern __thread dim3 gridDim;
constexpr int warpSize = 32;

void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);
void __threadfence_block();
void __threadfence();
void __threadfence_system();
void __nanosleep(unsigned ns);
[[noreturn]] void __trap();
long long clock64();
unsigned __ballot_sync(unsigned mask, int predicate);
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(int bits) { return __builtin_ffs(bits); }

namespace emulated {

/// Waits for the lanes of mask, each giving a value; returns the one of lane, or the caller's own
/// where lane is outside the warp.
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
T __shfl_sync(unsigned mask, T value, int lane, int width = warpSize) {
  const int first = emulated::lane_id() / width * width;
  return emulated::shuffle(mask, value, first + (lane & (width - 1)));
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize) {
  const int own = emulated::lane_id();
  const int other = own ^ bits;
  return emulated::shuffle(mask, value, other < own / width * width + width ? other : own);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize) {
  const int own = emulated::lane_id();
  const int other = own + static_cast<int>(delta);
  return emulated::shuffle(mask, value, other < own / width * width + width ? other : own);
}

inline unsigned atomicAdd(unsigned* address, unsigned value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

inline unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

template <typename T>
T __ldg(const T* address) {
  return *address;
}

template <typename T>
T __ldcs(const T* address) {
  return *address;
}

template <typename T>
void __stcs(T* address, T value) {
  *address = value;
}
