// Checks of a launch, as the runtime makes them, and its way into the stream.
#include <cuda_runtime.h>

#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "block.hpp"
#include "state.hpp"
#include "streams.hpp"

namespace emulated {
namespace {

constexpr std::size_t kSharedDefault = 49152;
constexpr int kSharedMost = 232448;

/// What a device knows of the kernels.
struct Kernels {
  std::mutex mutex;
  std::set<std::pair<int, const void*>> loaded;
  std::map<std::pair<int, const void*>, std::size_t> shared_limits;
};

Kernels& kernels() {
  static Kernels& all = *new Kernels;
  return all;
}

/// The dynamic shared memory that the kernel may have on the current device.
std::size_t shared_limit(const void* kernel) {
  const std::lock_guard lock(kernels().mutex);
  const auto found = kernels().shared_limits.find({current_device(), kernel});
  return found == kernels().shared_limits.end() ? kSharedDefault : found->second;
}

/// Returns whether the kernel was not loaded on the current device before.
bool load(const void* kernel) {
  const std::lock_guard lock(kernels().mutex);
  return kernels().loaded.insert({current_device(), kernel}).second;
}

/// The driver loads a kernel when it must. When that is at a launch, it may wait for all that the
/// device has to do; cudaFuncGetAttributes is documented to load it before.
void load_for_launch(const void* kernel) {
  if (load(kernel)) wait_for_device(current_device());
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
    const std::lock_guard lock(kernels().mutex);
    kernels().shared_limits[{current_device(), func}] = static_cast<std::size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes* attr, const void* func) {
  return runtime_call("cudaFuncGetAttributes", [&] {
    load(func);
    *attr = {90, 90};
    return cudaSuccess;
  });
}

cudaError_t cudaGetFuncBySymbol(cudaFunction_t* functionPtr, const void* symbolPtr) {
  return runtime_call("cudaGetFuncBySymbol", [&] {
    *functionPtr = static_cast<cudaFunction_t>(const_cast<void*>(symbolPtr));
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
