#include "cuda/pass_timer.hpp"

#include <chrono>
#include <new>

#include "cuda/cuda_check.hpp"
#include "cuda/kernels.hpp"
#include "device/backend.hpp"

namespace kvprof::cuda {
namespace {

constexpr std::uint64_t most_nanoseconds = 10'000'000'000;

/// The global timer ticks once a microsecond on some devices: a clock from less would be a guess.
constexpr std::uint64_t least_nanoseconds = 50'000;

}  // namespace

Event::Event() { check(cudaEventCreate(&event_), "making an event"); }

void Event::record(cudaStream_t stream) {
  check(cudaEventRecord(event_, stream), "recording an event");
}

double Event::seconds_since(const Event& start) const {
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "reading an event");
  return static_cast<double>(milliseconds) * 1e-3;
}

PassTimer::PassTimer(DeviceContext& context, bool blocking)
    : context_(context), blocking_(blocking), shared_(nullptr, [](Shared* s) { cudaFreeHost(s); }) {
  void* shared = nullptr;
  check(cudaMallocHost(&shared, sizeof(Shared)), "cudaMallocHost");
  shared_.reset(new (shared) Shared{});
  hold_back_ =
      block_stream_work(context.launch(), &shared_->go, &shared_->timed_out, most_nanoseconds);
  read_before_ = timestamps_work(context.launch(), shared_->before);
  read_after_ = timestamps_work(context.launch(), shared_->after);
  // Once with nothing to wait for: what a first launch takes is not part of any pass.
  shared_->go = 1;
  hold_back_();
  read_before_();
  read_after_();
  context.synchronize();
}

void PassTimer::release() { __atomic_store_n(&shared_->go, 1u, __ATOMIC_RELEASE); }

PassTiming PassTimer::time(const Work& work) {
  *shared_ = Shared{};
  try {
    if (blocking_) hold_back_();
    read_before_();
    start_.record(context_.stream());
    work();
    stop_.record(context_.stream());
    read_after_();
  } catch (...) {
    release();  // or the stream would stay held back
    cudaStreamSynchronize(context_.stream());
    throw;
  }
  release();
  context_.synchronize();
  if (shared_->timed_out != 0) {
    throw DeviceFault(
        "launches were held back for 10 s and not all of them were queued by then: a profiler, a "
        "sanitizer or CUDA_LAUNCH_BLOCKING=1 may launch one after another; try --profiler-safe");
  }
  const std::uint64_t elapsed = shared_->after[0] - shared_->before[0];
  const double cycles = static_cast<double>(shared_->after[1] - shared_->before[1]);
  const bool known =
      shared_->before[0] != 0 && shared_->after[0] != 0 && elapsed >= least_nanoseconds;
  return {stop_.seconds_since(start_), known ? cycles / static_cast<double>(elapsed) * 1e9 : 0};
}

PassTiming PassTimer::time_submission(const Work& work) {
  context_.synchronize();
  const auto start = std::chrono::steady_clock::now();
  work();
  context_.synchronize();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 0};
}

}  // namespace kvprof::cuda
