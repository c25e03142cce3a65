// Every call into the CUDA runtime is checked here.
#pragma once
#include <cuda_runtime_api.h>

#include <string>

#include "device/backend.hpp"

namespace kvprof::cuda {

/// "cudaErrorNoDevice: no CUDA-capable device is detected".
std::string description(cudaError_t error);

/// Throws DeviceFault that says what was done and what the driver answered.
void check(cudaError_t error, const char* doing);

/// The same for an allocation, but throws AllocationError with what `message` returns, and what the
/// driver answered, where memory has run out.
template <class Message>
void check_allocation(cudaError_t error, Message message) {
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw AllocationError(message() + " (" + description(error) + ")");
  }
  check(error, "an allocation");
}

}  // namespace kvprof::cuda
