// The errors of the runtime that the emulator returns: KVPROF_EMULATED_ERRORS(X) calls
// X(name, value, text) for each.
#pragma once
#define KVPROF_EMULATED_ERRORS(X)                                             \
  X(cudaSuccess, 0, "no error")                                               \
  X(cudaErrorInvalidValue, 1, "invalid argument")                             \
  X(cudaErrorMemoryAllocation, 2, "out of memory")                            \
  X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")       \
  X(cudaErrorInsufficientDriver, 35,                                          \
    "CUDA driver version is insufficient for CUDA runtime version")           \
  X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")             \
  X(cudaErrorInvalidDevice, 101, "invalid device ordinal")                    \
  X(cudaErrorInvalidResourceHandle, 400, "invalid resource handle")           \
  X(cudaErrorNotReady, 600, "device not ready")                               \
  X(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered") \
  X(cudaErrorMisalignedAddress, 716, "misaligned address")                    \
  X(cudaErrorLaunchFailure, 719, "unspecified launch failure")                \
  X(cudaErrorNotSupported, 801, "operation not supported")
