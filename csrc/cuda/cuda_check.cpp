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

DeviceScope::DeviceScope(int index) {
  check(cudaGetDevice(&before_), "cudaGetDevice");
  // Also where it is current already: a thread new to the device gets its context by this.
  check(cudaSetDevice(index), "cudaSetDevice");
}

DeviceScope::~DeviceScope() { cudaSetDevice(before_); }

}  // namespace kvprof::cuda
