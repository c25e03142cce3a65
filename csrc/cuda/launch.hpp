// What every launch of a kernel has in common.
#pragma once
#include <cuda_runtime_api.h>

#include <functional>

namespace kvprof::cuda {

/// What a launch must know: the stream, and how many multiprocessors a persistent grid fills.
struct Launch {
  cudaStream_t stream;
  int multiprocessors;
};

/// Launches a kernel, asynchronously, as often as it is called; throws DeviceFault when that fails.
///
/// It is made in one step and called in another, since the driver loads a kernel when it first
/// hears of it, and may wait for the device to do so: for ever, behind a kernel that holds the
/// stream back.
using Work = std::function<void()>;

}  // namespace kvprof::cuda
