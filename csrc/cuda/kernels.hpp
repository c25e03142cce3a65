// The kernels, made ready for the host to launch. `variant` is an index into the names
// that the operation has.
#pragma once
#include <string>
#include <vector>

#include "cuda/indexing.hpp"
#include "cuda/launch.hpp"
#include "device/backend.hpp"

namespace kvprof::cuda {

/// Totals that a kernel which reads adds to; the host clears them before and adds them up after.
constexpr std::int64_t checksum_words = 64;
using Totals = unsigned long long*;

/// Ways to update and to copy: a warp takes 1, 4 or 8 tiles at once, each lane 8, 2 or 1 vectors of
/// each.
std::vector<std::string> vector_variants();

/// The same for reads, and `bulk`, through shared memory, where the current device copies there in
/// bulk (sm_90 and newer).
std::vector<std::string> read_variants();

/// Sums 64-bit words.
Work read_work(const Launch& launch, const ListedSpans& spans, std::size_t variant, Totals totals);
Work read_work(const Launch& launch, const ContiguousSpans& spans, std::size_t variant,
               Totals totals);

/// Updates in place and sums the new words.
Work update_work(const Launch& launch, const ListedSpans& spans, const Update& update,
                 std::size_t variant, Totals totals);
Work update_work(const Launch& launch, const ContiguousSpans& spans, std::uint64_t addend,
                 std::size_t variant, Totals totals);

/// Byte i of a span gets byte i % 8 of the word.
Work write_work(const Launch& launch, const ListedSpans& spans, std::uint64_t word);
Work write_work(const Launch& launch, const ContiguousSpans& spans, std::uint64_t word);

Work copy_work(const Launch& launch, const ListedCopies& copies, std::size_t variant);
Work copy_work(const Launch& launch, const ContiguousCopies& copies, std::size_t variant);
Work append_work(const Launch& launch, const ListedAppends& appends, std::size_t variant);

/// splitmix64 of seed and address (see Backend::fill), `origin` being where the memory starts.
Work fill_work(const Launch& launch, std::uint64_t origin, const ContiguousSpans& span,
               std::uint64_t seed, bool finite);

/// Holds back what is queued behind it until the host sets `go`, or the time is over, which it
/// marks.
Work block_stream_work(const Launch& launch, const std::uint32_t* go, std::uint32_t* timed_out,
                       std::uint64_t most_nanoseconds);

/// Writes time and clock cycles of one multiprocessor, always the same: {nanoseconds, cycles}.
Work timestamps_work(const Launch& launch, std::uint64_t* into);

}  // namespace kvprof::cuda
