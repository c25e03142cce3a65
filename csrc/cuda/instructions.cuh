// The instructions that a kernel needs beyond the language, each with what it means to a CPU that
// emulates a device (tests/emulator).
#pragma once
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>

#include "cuda/indexing.hpp"

#if defined(__CUDACC__)
#define KVPROF_UNROLL _Pragma("unroll")
#define KVPROF_NO_UNROLL _Pragma("unroll 1")
#else
#define KVPROF_UNROLL
#define KVPROF_NO_UNROLL
#endif

namespace kvprof::cuda {

constexpr unsigned all_lanes = 0xFFFFFFFF;

template <class T>
__device__ __forceinline__ T* pointer(std::uint64_t address) {
  return reinterpret_cast<T*>(address);
}

/// Of the read-only path: nothing in the kernel writes there. Not kept in the first cache, since
/// nothing is read twice.
__device__ __forceinline__ uint4 load_once(const uint4* at) {
#if defined(__CUDACC__)
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(at));
  return value;
#else
  return *at;
#endif
}

/// Of memory that the kernel itself writes.
__device__ __forceinline__ uint4 load_in_place(const uint4* at) {
#if defined(__CUDACC__)
  uint4 value;
  asm volatile("ld.global.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(at)
               : "memory");
  return value;
#else
  return *at;
#endif
}

/// To be evicted first: nothing reads it again.
__device__ __forceinline__ void store_once(uint4* at, uint4 value) {
#if defined(__CUDACC__)
  __stcs(at, value);
#else
  *at = value;
#endif
}

/// A vector of two words, and the words of a vector.
__device__ __forceinline__ uint4 vector_of(std::uint64_t low, std::uint64_t high) {
  return make_uint4(static_cast<unsigned>(low), static_cast<unsigned>(low >> 32),
                    static_cast<unsigned>(high), static_cast<unsigned>(high >> 32));
}
__device__ __forceinline__ std::uint64_t low_word(const uint4& value) {
  return static_cast<std::uint64_t>(value.y) << 32 | value.x;
}
__device__ __forceinline__ std::uint64_t high_word(const uint4& value) {
  return static_cast<std::uint64_t>(value.w) << 32 | value.z;
}

/// x * y and x + y, each rounded to nearest; denormal operands and results count as zero.
__device__ __forceinline__ float flushed(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7F800000) == 0) bits &= 0x80000000;
  memcpy(&value, &bits, sizeof bits);
  return value;
}
__device__ __forceinline__ float product(float x, float y) {
#if defined(__CUDACC__)
  float value;
  asm("mul.rn.ftz.f32 %0, %1, %2;" : "=f"(value) : "f"(x), "f"(y));
  return value;
#else
  return flushed(flushed(x) * flushed(y));
#endif
}
__device__ __forceinline__ float sum(float x, float y) {
#if defined(__CUDACC__)
  float value;
  asm("add.rn.ftz.f32 %0, %1, %2;" : "=f"(value) : "f"(x), "f"(y));
  return value;
#else
  return flushed(flushed(x) + flushed(y));
#endif
}

__device__ __forceinline__ std::uint64_t nanoseconds() {
#if defined(__CUDACC__)
  std::uint64_t value;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(value));
  return value;
#else
  return emulated::global_timer_ns();
#endif
}

__device__ __forceinline__ unsigned multiprocessor() {
#if defined(__CUDACC__)
  unsigned value;
  asm volatile("mov.u32 %0, %%smid;" : "=r"(value));
  return value;
#else
  return emulated::sm_id();
#endif
}

/// Of memory that the host writes meanwhile.
__device__ __forceinline__ std::uint32_t load_from_host(const std::uint32_t* at) {
#if defined(__CUDACC__)
  return *reinterpret_cast<const volatile std::uint32_t*>(at);
#else
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
#endif
}

/// The block's dynamic shared memory, aligned to 128 bytes.
__device__ __forceinline__ std::byte* shared_memory() {
#if defined(__CUDACC__)
  extern __shared__ __align__(128) std::byte memory[];
  return memory;
#else
  return emulated::shared_memory();
#endif
}

/// Bulk copies and the barriers that they complete on: sm_90 and newer.
#if defined(__CUDACC__)
__device__ __forceinline__ std::uint32_t shared_address(const void* at) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(at));
}
#endif

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define KVPROF_HAS_BULK_COPIES 1

__device__ __forceinline__ void start_barrier(std::uint64_t* barrier) {
#if defined(__CUDACC__)
  asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(shared_address(barrier)) : "memory");
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#else
  emulated::mbarrier_init(barrier, 1);
#endif
}

/// Arrives, and lets the barrier's phase end once that many bytes have come.
__device__ __forceinline__ void expect_bytes(std::uint64_t* barrier, std::uint32_t nbytes) {
#if defined(__CUDACC__)
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(nbytes)
      : "memory");
#else
  emulated::mbarrier_arrive_expect_tx(barrier, nbytes);
#endif
}

/// Waits for the end of the phase of that parity.
__device__ __forceinline__ void wait_for(std::uint64_t* barrier, std::uint32_t parity) {
#if defined(__CUDACC__)
  std::uint32_t done = 0;
  do {
    asm volatile(
        "{\n\t.reg .pred p;\n\t"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\t"
        "selp.u32 %0, 1, 0, p;\n\t}"
        : "=r"(done)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  } while (done == 0);
#else
  while (!emulated::mbarrier_test_parity(barrier, parity)) {
  }
#endif
}

/// Addresses aligned to 16 bytes, and a multiple of them; completes on the barrier.
__device__ __forceinline__ void copy_to_shared(std::byte* to, const std::byte* from,
                                               std::uint32_t nbytes, std::uint64_t* barrier) {
#if defined(__CUDACC__)
  std::uint64_t policy;
  asm volatile("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1], %2, [%3], %4;" ::"r"(shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(nbytes), "r"(shared_address(barrier)), "l"(policy)
      : "memory");
#else
  emulated::bulk_copy_to_shared(to, from, nbytes, barrier);
#endif
}
#endif

}  // namespace kvprof::cuda
