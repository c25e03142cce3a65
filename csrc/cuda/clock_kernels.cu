// What timing needs on the device: holding a stream back, and reading clocks.
#include "cuda/grid.cuh"
#include "cuda/instructions.cuh"

namespace kvprof::cuda {
namespace {

__global__ void block_stream(const std::uint32_t* go, std::uint32_t* timed_out,
                             std::uint64_t most_nanoseconds) {
  const std::uint64_t start = nanoseconds();
  while (load_from_host(go) == 0) {
    if (nanoseconds() - start > most_nanoseconds) {
      *timed_out = 1;
      return;
    }
  }
}

/// Cycles are counted by each multiprocessor on its own, so always the same one must answer.
__global__ void timestamps(std::uint64_t* into) {
  if (multiprocessor() != 0) return;
  into[0] = nanoseconds();
  into[1] = static_cast<std::uint64_t>(clock64());
}

template <class... Parameters, class... Arguments>
Work single_threads(const Launch& launch, int blocks, void (*kernel)(Parameters...),
                    Arguments... arguments) {
  loaded(kernel);
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(1);
  config.stream = launch.stream;
  return [=] { check(cudaLaunchKernelEx(&config, kernel, arguments...), "a kernel launch"); };
}

}  // namespace

Work block_stream_work(const Launch& where, const std::uint32_t* go, std::uint32_t* timed_out,
                       std::uint64_t most_nanoseconds) {
  return single_threads(where, 1, block_stream, go, timed_out, most_nanoseconds);
}

Work timestamps_work(const Launch& where, std::uint64_t* into) {
  // More than there are multiprocessors: each gets one at least, as a rule.
  return single_threads(where, 4 * where.multiprocessors, timestamps, into);
}

}  // namespace kvprof::cuda
