// Checks of a launch, as the runtime makes them, and its way into the stream.
#include <cuda_runtime.h>

#include <map>
#include <mutex>

#include "block.hpp"
#include "state.hpp"
#include "streams.hpp"

namespace emulated {
namespace {

constexpr std::size_t kSharedDefault = 49152;
constexpr int kSharedMost = 232448;

struct SharedLimits {
  std::mutex mutex;
  std::map<const void*, std::size_t> by_kernel;
};

SharedLimits& shared_limits() {
  static SharedLimits& limits = *new SharedLimits;
  return limits;
}

std::size_t shared_limit(const void* kernel) {
  const std::lock_guard lock(shared_limits().mutex);
  const auto found = shared_limits().by_kernel.find(kernel);
  return found == shared_limits().by_kernel.end() ? kSharedDefault : found->second;
}

cudaError_t checked(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 grid = config.gridDim;
  const dim3 block = config.blockDim;
  if (grid.y != 1 || grid.z != 1 || block.y != 1 || block.z != 1) return cudaErrorNotSupported;
  if (grid.x == 0 || grid.x > 2147483647u) return cudaErrorInvalidConfiguration;
  if (block.x == 0 || block.x > 1024) return cudaErrorInvalidConfiguration;
  return config.dynamicSmemBytes > shared_limit(kernel) ? cudaErrorInvalidValue : cudaSuccess;
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel,
                   std::function<void()> body) {
  return runtime_call("cudaLaunchKernel", [&] {
    const auto stream = find_stream(config->stream);
    if (!stream || stream->device() != current_device()) return cudaErrorInvalidResourceHandle;
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
    const std::lock_guard lock(shared_limits().mutex);
    shared_limits().by_kernel[func] = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* numBlocks, const void* func,
                                                          int blockSize, size_t dynamicSMemSize) {
  return runtime_call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&] {
    if (blockSize < 1 || blockSize > 1024) return cudaErrorInvalidValue;
    return *numBlocks = dynamicSMemSize > shared_limit(func) ? 0 : 2, cudaSuccess;
  });
}

}  // extern "C"
