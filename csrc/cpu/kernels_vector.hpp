// Registers of 64-bit words, for the instruction set of the file that includes this.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace kvprof {
namespace {

constexpr std::size_t vector_bytes = KVPROF_VECTOR_BYTES;
constexpr std::size_t word_bytes = sizeof(std::uint64_t);
constexpr std::size_t vector_words = vector_bytes / word_bytes;
constexpr std::size_t line_bytes = 64;

/// Words in a register.
typedef std::uint64_t Vector __attribute__((vector_size(KVPROF_VECTOR_BYTES)));
typedef std::uint32_t Vector32 __attribute__((vector_size(KVPROF_VECTOR_BYTES)));
typedef float VectorFloat __attribute__((vector_size(KVPROF_VECTOR_BYTES)));

/// The same in memory, at any address and over objects of any type. A variable of this type would
/// lie at any address too, which clang forgets where it is passed by reference.
typedef std::uint64_t VectorInMemory
    __attribute__((vector_size(KVPROF_VECTOR_BYTES), aligned(1), may_alias));

inline Vector load(const std::byte* from) { return *reinterpret_cast<const VectorInMemory*>(from); }

inline void store(std::byte* to, Vector value) { *reinterpret_cast<VectorInMemory*>(to) = value; }

/// `to` must be aligned to a vector.
inline void store_non_temporal(std::byte* to, Vector value) {
#if defined(__AVX512F__)
  _mm512_stream_si512(reinterpret_cast<__m512i*>(to), reinterpret_cast<__m512i>(value));
#elif defined(__AVX2__)
  _mm256_stream_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(value));
#elif defined(__x86_64__)
  _mm_stream_si128(reinterpret_cast<__m128i*>(to), reinterpret_cast<__m128i>(value));
#elif defined(__aarch64__)
  // There is such a store of pairs only: the halves of the register are one.
  const auto both = (uint64x2_t)value;
  const uint64x1_t low = vget_low_u64(both);
  const uint64x1_t high = vget_high_u64(both);
  asm volatile("stnp %d[low], %d[high], [%[to]]"
               :
               : [low] "w"(low), [high] "w"(high), [to] "r"(to)
               : "memory");
#else
  store(to, value);
#endif
}

void fence() {
#if defined(__x86_64__)
  _mm_sfence();
#endif
}

/// Not into the first cache: what comes later would drive out what is at work.
inline void prefetch_to_l2(const std::byte* at) { __builtin_prefetch(at, 0, 2); }

inline std::size_t bytes_to_alignment(const std::byte* at) {
  return (vector_bytes - reinterpret_cast<std::uintptr_t>(at) % vector_bytes) % vector_bytes;
}

inline std::size_t smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }

}  // namespace
}  // namespace kvprof
