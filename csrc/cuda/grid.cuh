// A persistent grid: as many blocks as the device holds at once, each warp of which walks the work.
#pragma once
#include "cuda/cuda_check.hpp"
#include "cuda/driver.hpp"
#include "cuda/kernels.hpp"

namespace kvprof::cuda {

constexpr int block_threads = 256;

/// Blocks that a multiprocessor holds at the least: 16 warps with 4 KiB each in flight. More would
/// cost registers, and then spills.
constexpr int least_blocks = 2;

/// What the driver knows of a kernel, which it loads on the current device at the latest now.
template <class... Parameters>
cudaFuncAttributes loaded(void (*kernel)(Parameters...)) {
  cudaFuncAttributes attributes{};
  check(cudaFuncGetAttributes(&attributes, kernel), "loading a kernel");
  load_kernel(reinterpret_cast<const void*>(kernel));
  return attributes;
}

/// Makes ready the launch of a kernel over `items`, of which a warp takes `width` at once; its last
/// parameter is the division of the work.
template <class... Parameters, class... Arguments>
Work persistent_work(const Launch& launch, int threads, std::size_t shared_bytes,
                     std::int64_t items, std::int32_t width, void (*kernel)(Parameters...),
                     Arguments... arguments) {
  if (items == 0) return [] {};
  loaded(kernel);
  if (shared_bytes > 0) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shared_bytes)),
          "shared memory");
  }
  int resident = 0;
  check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, threads, shared_bytes),
        "occupancy");
  const std::int64_t most = std::int64_t{resident > 0 ? resident : 1} * launch.multiprocessors;
  const std::int64_t blocks = items < most ? items : most;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = launch.stream;
  const Division division = divide(items, blocks * threads / static_cast<int>(warp_lanes), width);
  return [=] {
    check(cudaLaunchKernelEx(&config, kernel, arguments..., division), "a kernel launch");
  };
}

/// Tiles at once and vectors of each, as the variants have them.
template <int tiles, int vectors>
struct Shape {
  static constexpr int width = tiles;
  static constexpr int depth = vectors;
};

/// What with_shape(Shape) returns for the shape of a vector variant.
template <class WithShape>
Work for_variant(std::size_t variant, WithShape with_shape) {
  if (variant == 0) return with_shape(Shape<1, 8>{});
  if (variant == 1) return with_shape(Shape<4, 2>{});
  return with_shape(Shape<8, 1>{});
}

}  // namespace kvprof::cuda
