// CHECK for the emulator's own tests: ends the process with the line that does not hold.
#pragma once
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

#define CHECK_OK(call)                                                   \
  do {                                                                   \
    const int result_ = static_cast<int>(call);                          \
    if (result_ != 0) {                                                  \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, \
                   cudaGetErrorName(static_cast<cudaError_t>(result_))); \
      std::abort();                                                      \
    }                                                                    \
  } while (false)

/// Launches a kernel and returns the first error of the launch or of its end.
template <typename... Parameters, typename... Arguments>
cudaError_t launch_and_wait(cudaStream_t stream, dim3 grid, dim3 block, std::size_t shared_bytes,
                            void (*kernel)(Parameters...), Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  const cudaError_t error =
      cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
  return error ? error : cudaStreamSynchronize(stream);
}

void check_kernels(cudaStream_t stream);
void check_faults(cudaStream_t stream);
void check_streams(cudaStream_t stream);
void check_memory(cudaStream_t stream);
void check_driver(cudaStream_t stream);
