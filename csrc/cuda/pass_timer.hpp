// The time of what is launched on a stream, by the device's own clocks.
#pragma once
#include <cuda_runtime_api.h>

#include <memory>

#include "cuda/device_context.hpp"

namespace kvprof::cuda {

/// What one pass took, and at which clock of the multiprocessors (0: too short to tell).
struct PassTiming {
  double seconds;
  double clock_hz;
};

class Event {
 public:
  Event();
  ~Event() { cudaEventDestroy(event_); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  void record(cudaStream_t stream);
  double seconds_since(const Event& start) const;

 private:
  cudaEvent_t event_ = nullptr;
};

/// Events around the launches, which a kernel holds back until all of them are queued: what the
/// host takes to launch stays outside (nvbench's method). Time and cycles of one multiprocessor are
/// read before and after. Made and used by who has a `Turn` at the device.
class PassTimer {
 public:
  /// `blocking` false: nothing is held back, as profilers that serialise kernels need it.
  PassTimer(DeviceContext& context, bool blocking);

  /// Times what `work` launches on the context's stream; it may queue a dozen launches and must
  /// not wait for any. Returns when all is done. Throws DeviceFault when any of it failed.
  PassTiming time(const Work& work);

  /// Wall clock from the first submission until all is done, for what the host submits piece by
  /// piece.
  PassTiming time_submission(const Work& work);

 private:
  /// Page-locked: the host and the device both write it.
  struct Shared {
    std::uint32_t go;
    std::uint32_t timed_out;
    std::uint64_t before[2];
    std::uint64_t after[2];
  };

  void release();

  DeviceContext& context_;
  bool blocking_;
  std::unique_ptr<Shared, void (*)(Shared*)> shared_;
  Work hold_back_;
  Work read_before_;
  Work read_after_;
  Event start_;
  Event stop_;
};

}  // namespace kvprof::cuda
