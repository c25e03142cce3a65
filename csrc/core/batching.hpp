#pragma once
#include <cstdint>
#include <functional>

#include "core/array_view.hpp"
#include "core/cache_allocator.hpp"

namespace kvprof {

/// The requests of a run, in order of arrival: element `i` of each array is request `i`.
struct Requests {
  ArrayView<const double> arrival_steps;
  ArrayView<const std::int64_t> prompt_tokens;
  ArrayView<const std::int64_t> output_tokens;
};

/// When a run stops, if not before because all requests are done.
struct BatchingLimits {
  std::uint64_t until_completed = 0;
  std::uint64_t max_steps = 0;
};

/// Where continuous batching stood when it stopped. Of the requests that have `arrived`, those not
/// completed, rejected or waiting are live in the allocator.
struct BatchingResult {
  std::uint64_t steps = 0;
  std::uint64_t completed = 0;
  std::uint64_t rejected = 0;
  std::uint64_t preemptions = 0;
  std::uint64_t arrived = 0;
  std::uint64_t waiting = 0;
  /// Tokens of the request at the head of the queue, 0 when none waits.
  std::uint64_t waiting_tokens = 0;
  /// Steps after which most blocks of all pools were in use; the first such.
  std::uint64_t fullest_steps = 0;
  /// Sequences that appended a token, averaged over the steps.
  double mean_running = 0;
};

/// Run requests through the allocator, one decode step at a time; leave the live ones in it.
///
/// Each step:
/// 1. Requests whose arrival step has come join the queue.
/// 2. The queue is admitted first come, first served, while the blocks of a prompt fit. A request
///    is rejected when its prompt, or its prompt and output, could not fit an empty pool, or when
///    it does not fit although nothing of this run holds a block.
/// 3. Every running sequence, in order of admission, appends one token. While its blocks do not
///    fit, the sequence admitted last (at worst itself) is preempted: released, and queued at the
///    front with its tokens so far as its prompt (recompute). One that is alone and still cannot
///    grow is released and counted as rejected.
/// 4. Sequences that have made their output are released.
///
/// The clock starts at 0 and advances by 1 a step; with nothing running or waiting it jumps to the
/// next arrival, and the steps jumped over are not counted. Sequences that were in the allocator
/// before the run are left alone.
///
/// @param interrupted  asked every thousand steps or so; true stops the run
/// @throw std::invalid_argument when arrays differ in length, arrivals descend or are not finite,
/// prompts are negative, outputs are below 1, or a request exceeds `max_tokens`
BatchingResult run_batching(CacheAllocator& allocator, const Requests& requests,
                            const BatchingLimits& limits,
                            const std::function<bool()>& interrupted = {});

}  // namespace kvprof
