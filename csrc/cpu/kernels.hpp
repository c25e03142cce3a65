// Single-thread kernels of the CPU backend, compiled once per instruction set.
//
// The files that are compiled with wider instructions include nothing but C headers and
// intrinsics: an inline function of the standard library compiled there could be the copy that the
// linker keeps for everyone, and then fail on an older CPU.
#pragma once
#include <cstddef>
#include <cstdint>

namespace kvprof {

/// Consecutive bytes.
struct Span {
  std::byte* data;
  std::size_t nbytes;
};

struct KernelTable {
  const char* instruction_set;

  /// Sums the 64-bit words of each of `count` spans, the last one extended with zeros. The spans
  /// are streamed eight at a time; the `ahead` spans that follow may be prefetched.
  std::uint64_t (*sum)(const Span* spans, std::size_t count, std::size_t ahead);

  /// Adds `addend` to every word of spans of whole words; returns the sum of the new words.
  std::uint64_t (*add)(const Span* spans, std::size_t count, std::size_t ahead,
                       std::uint64_t addend);

  /// Writes bytes that depend on their place only: byte i of the destination gets byte i % 8 of
  /// `word`. Non-temporal stores bypass the cache; call
  /// fence after the last one.
  void (*write_plain)(std::byte* to, std::size_t nbytes, std::uint64_t word);
  void (*write_non_temporal)(std::byte* to, std::size_t nbytes, std::uint64_t word);

  void (*copy_plain)(std::byte* to, const std::byte* from, std::size_t nbytes);
  void (*copy_non_temporal)(std::byte* to, const std::byte* from, std::size_t nbytes);

  /// Makes the non-temporal stores of this thread visible to others.
  void (*fence)();

  /// Fills bytes [begin, end) of a memory; word i of the memory is splitmix64's i-th after `seed`.
  void (*fill)(std::byte* memory, std::size_t begin, std::size_t end, std::uint64_t seed);
};

extern const KernelTable baseline_kernels;
extern const KernelTable avx2_kernels;
extern const KernelTable avx512_kernels;

/// The widest kernels that this CPU runs, or those named by KVPROF_INSTRUCTION_SET. Throws
/// std::invalid_argument when that names none, or one that this CPU does not have.
const KernelTable& select_kernels();

}  // namespace kvprof
