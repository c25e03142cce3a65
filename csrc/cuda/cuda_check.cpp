#include "cuda/cuda_check.hpp"

#include "device/backend.hpp"

namespace kvprof::cuda {

std::string description(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + ": " + cudaGetErrorString(error);
}

void check(cudaError_t error, const char* doing) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // or the next call would find it again
  throw DeviceFault(std::string(doing) + " failed with " + description(error));
}

}  // namespace kvprof::cuda
