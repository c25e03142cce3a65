// The kernels, as the host launches them: all asynchronous on a stream, all throw DeviceFault when
// the launch fails. `variant` is an index into the names beside it.
#pragma once
#include <cuda_runtime_api.h>

#include <string>
#include <vector>

#include "cuda/indexing.hpp"
#include "device/backend.hpp"

namespace kvprof::cuda {

/// What a launch must know: the stream, and how many multiprocessors a persistent grid fills.
struct Launch {
  cudaStream_t stream;
  int multiprocessors;
};

/// Totals that a kernel which reads adds to; the host clears them before and adds them up after.
constexpr std::int64_t checksum_words = 64;
using Totals = unsigned long long*;

/// A warp takes 1, 4 or 8 tiles at once, each lane 8, 2 or 1 vectors of each.
const std::vector<std::string>& vector_variants();
constexpr std::size_t bulk_variant = 3;

/// Sums 64-bit words. Variant `bulk_variant` copies through shared memory: sm_90 and newer.
void launch_read(const Launch& launch, const ListedSpans& spans, std::size_t variant,
                 Totals totals);
void launch_read(const Launch& launch, const ContiguousSpans& spans, std::size_t variant,
                 Totals totals);

/// Updates in place and sums the new words.
void launch_update(const Launch& launch, const ListedSpans& spans, const Update& update,
                   std::size_t variant, Totals totals);
void launch_update(const Launch& launch, const ContiguousSpans& spans, const Update& update,
                   std::size_t variant, Totals totals);

/// Byte i of a span gets byte i % 8 of the word.
void launch_write(const Launch& launch, const ListedSpans& spans, std::uint64_t word);
void launch_write(const Launch& launch, const ContiguousSpans& spans, std::uint64_t word);

void launch_copy(const Launch& launch, const ListedCopies& copies, std::size_t variant);
void launch_copy(const Launch& launch, const ContiguousCopies& copies, std::size_t variant);
void launch_append(const Launch& launch, const ListedAppends& appends, std::size_t variant);

/// splitmix64 of seed and address (see Backend::fill), `origin` being where the memory starts.
void launch_fill(const Launch& launch, std::uint64_t origin, const ContiguousSpans& span,
                 std::uint64_t seed, bool finite);

/// Holds back what is queued behind it until the host sets `go`, or the time is over, which it
/// marks.
void launch_block_stream(const Launch& launch, const std::uint32_t* go, std::uint32_t* timed_out,
                         std::uint64_t most_nanoseconds);

/// Writes time and clock cycles of one multiprocessor, always the same: {nanoseconds, cycles}.
void launch_timestamps(const Launch& launch, std::uint64_t* into);

}  // namespace kvprof::cuda
