// Checks of a launch, as the runtime makes them, and its way into the stream.
#include <cuda_runtime.h>

#include <map>
#include <mutex>
#include <utility>

#include "block.hpp"
#include "state.hpp"
#include "streams.hpp"

namespace emulated {
namespace {

constexpr std::size_t kSharedDefault = 49152;
constexpr int kSharedMost = 232448;

/// What a device knows of the kernels that are loaded there.
struct Loaded {
  std::mutex mutex;
  std::map<std::pair<int, const void*>, std::size_t> shared_limits;
};

Loaded& loaded() {
  static Loaded& kernels = *new Loaded;
  return kernels;
}

/// Loads the kernel on the current device; returns the dynamic shared memory that it may have.
std::size_t load(const void* kernel) {
  const std::lock_guard lock(loaded().mutex);
  return loaded()
      .shared_limits.try_emplace({current_device(), kernel}, kSharedDefault)
      .first->second;
}

/// The driver loads a kernel when it first hears of it. When that is a launch, it may wait for all
/// that the device has to do.
void load_for_launch(const void* kernel) {
  {
    const std::lock_guard lock(loaded().mutex);
    if (loaded().shared_limits.count({current_device(), kernel}) > 0) return;
  }
  wait_for_device(current_device());
  load(kernel);
}

cudaError_t checked(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 grid = config.gridDim;
  const dim3 block = config.blockDim;
  if (grid.y != 1 || grid.z != 1 || block.y != 1 || block.z != 1) return cudaErrorNotSupported;
  if (grid.x == 0 || grid.x > 2147483647u) return cudaErrorInvalidConfiguration;
  if (block.x == 0 || block.x > 1024) return cudaErrorInvalidConfiguration;
  return config.dynamicSmemBytes > load(kernel) ? cudaErrorInvalidValue : cudaSuccess;
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel,
                   std::function<void()> body) {
  return runtime_call("cudaLaunchKernel", [&] {
    const auto stream = find_stream(config->stream);
    if (!stream || stream->device() != current_device()) return cudaErrorInvalidResourceHandle;
    load_for_launch(kernel);
    if (const cudaError_t error = checked(*config, kernel)) return error;
    const Grid grid{config->gridDim.x, config->blockDim.x, config->dynamicSmemBytes};
    stream->enqueue([grid, body = std::move(body)] {
      if (device_error() != cudaSuccess) return;
      const Fault fault = BlockRunner::of_this_thread().run(grid, body);
      if (fault.error != cudaSuccess) set_device_error(fault.error, fault.why);
    });
    return cudaSuccess;
  });
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaFuncSetAttribute(const void* func, enum cudaFuncAttribute attr, int value) {
  return runtime_call("cudaFuncSetAttribute", [&] {
    if (attr != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
    if (value < 0 || value > kSharedMost) return cudaErrorInvalidValue;
    const std::lock_guard lock(loaded().mutex);
    loaded().shared_limits[{current_device(), func}] = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* numBlocks, const void* func,
                                                          int blockSize, size_t dynamicSMemSize) {
  return runtime_call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&] {
    if (blockSize < 1 || blockSize > 1024) return cudaErrorInvalidValue;
    return *numBlocks = dynamicSMemSize > load(func) ? 0 : 2, cudaSuccess;
  });
}

}  // extern "C"
