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

/// What an update does to an element x: x + addend for 64-bit words, x * decay + input for floats,
/// as a recurrent state decays and takes in a token (bfloat16 is rounded to nearest even).
struct UpdateTerms {
  std::uint64_t addend;
  float decay;
  float input;
};

/// Sums the 64-bit words of each of `count` spans, the last one extended with zeros. The `ahead`
/// spans that follow may be prefetched.
using ReadKernel = std::uint64_t (*)(const Span* spans, std::size_t count, std::size_t ahead);

/// Updates every element of the spans in place; returns the sum of the new 64-bit words. Spans
/// start at an element.
using UpdateKernel = std::uint64_t (*)(const Span* spans, std::size_t count, std::size_t ahead,
                                       UpdateTerms terms);

/// Writes bytes that depend on their place only: byte i of the destination gets byte i % 8 of
/// `word`. Call fence after the last one.
using WriteKernel = void (*)(std::byte* to, std::size_t nbytes, std::uint64_t word);

/// Copies bytes that do not overlap; `next` is where the following copy will read from, or null.
/// Call fence after the last one.
using CopyKernel = void (*)(std::byte* to, const std::byte* from, std::size_t nbytes,
                            const std::byte* next);

/// One of several ways to do the same; which is fastest depends on the machine and on the sizes, so
/// they are timed.
template <class Kernel>
struct Variant {
  const char* name;
  Kernel run;
};

/// The ways that an instruction set has.
template <class Kernel>
struct Variants {
  const Variant<Kernel>* first;
  std::size_t count;

  const Variant<Kernel>* begin() const { return first; }
  const Variant<Kernel>* end() const { return first + count; }
};

struct KernelTable {
  const char* instruction_set;

  Variants<ReadKernel> read;
  Variants<UpdateKernel> update_words;
  Variants<UpdateKernel> update_float32;
  Variants<UpdateKernel> update_bfloat16;
  Variants<WriteKernel> write;
  Variants<CopyKernel> copy;
  Variants<CopyKernel> append;

  /// Sums words by a loop without unrolling, vectors or hints: what a compiler makes of it.
  ReadKernel read_plain_loop;

  /// Makes the non-temporal stores of this thread visible to others.
  void (*fence)();

  /// Fills bytes [begin, end) of a memory; word i of the memory is splitmix64's i-th after `seed`,
  /// masked so that all its 16-bit parts are finite floats where `finite`.
  void (*fill)(std::byte* memory, std::size_t begin, std::size_t end, std::uint64_t seed,
               bool finite);
};

extern const KernelTable baseline_kernels;
extern const KernelTable avx2_kernels;
extern const KernelTable avx512_kernels;

/// The widest kernels that this CPU runs, or those named by KVPROF_INSTRUCTION_SET. Throws
/// std::invalid_argument when that names none, or one that this CPU does not have.
const KernelTable& select_kernels();

}  // namespace kvprof
