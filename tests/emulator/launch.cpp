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
constexpr unsigned kBlocksAtOnce = 2 * 2;  // multiprocessors x occupancy

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

cudaError_t checked_attributes(const cudaLaunchConfig_t& config) {
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id == cudaLaunchAttributeClusterDimension) {
      const auto& cluster = attribute.val.clusterDim;
      if (cluster.x != 1 || cluster.y != 1 || cluster.z != 1) return cudaErrorNotSupported;
    }
    const dim3 grid = config.gridDim;
    if (attribute.id == cudaLaunchAttributeCooperative && attribute.val.cooperative != 0 &&
        std::uint64_t{grid.x} * grid.y * grid.z > kBlocksAtOnce) {
      return cudaErrorCooperativeLaunchTooLarge;
    }
  }
  return cudaSuccess;
}

cudaError_t checked(const cudaLaunchConfig_t& config, const void* kernel) {
  const dim3 grid = config.gridDim;
  const dim3 block = config.blockDim;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return cudaErrorInvalidConfiguration;
  if (grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64) return cudaErrorInvalidConfiguration;
  if (config.dynamicSmemBytes > shared_limit(kernel)) return cudaErrorInvalidValue;
  return checked_attributes(config);
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel,
                   std::function<void()> body) {
  return runtime_call("cudaLaunchKernel", [&] {
    if (const cudaError_t error = checked(*config, kernel)) return error;
    const Grid grid{config->gridDim, config->blockDim, config->dynamicSmemBytes};
    return submit(config->stream, [grid, body = std::move(body)] {
      if (device_error() != cudaSuccess) return;
      const Fault fault = BlockRunner::of_this_thread().run(grid, body);
      if (fault.error != cudaSuccess) set_device_error(fault.error, fault.why);
    });
  });
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaFuncSetAttribute(const void* func, enum cudaFuncAttribute attr, int value) {
  return runtime_call("cudaFuncSetAttribute", [&] {
    if (attr != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
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
