// The errors of the runtime: KVPROF_EMULATED_ERRORS(X) calls X(name, value, text) for each.
#pragma once
#define KVPROF_EMULATED_ERRORS(X)                                                              \
  X(cudaSuccess, 0, "no error")                                                                \
  X(cudaErrorInvalidValue, 1, "invalid argument")                                              \
  X(cudaErrorMemoryAllocation, 2, "out of memory")                                             \
  X(cudaErrorInitializationError, 3, "initialization error")                                   \
  X(cudaErrorInvalidConfiguration, 9, "invalid configuration argument")                        \
  X(cudaErrorInvalidPitchValue, 12, "invalid pitch argument")                                  \
  X(cudaErrorInvalidHostPointer, 16, "invalid host pointer")                                   \
  X(cudaErrorInvalidDevicePointer, 17, "invalid device pointer")                               \
  X(cudaErrorInvalidMemcpyDirection, 21, "invalid copy direction for memcpy")                  \
  X(cudaErrorStubLibrary, 34, "CUDA driver is a stub library")                                 \
  X(cudaErrorInsufficientDriver, 35,                                                           \
    "CUDA driver version is insufficient for CUDA runtime version")                            \
  X(cudaErrorCallRequiresNewerDriver, 36, "API call is not supported in the installed driver") \
  X(cudaErrorDevicesUnavailable, 46, "CUDA-capable device(s) is/are busy or unavailable")      \
  X(cudaErrorInvalidDeviceFunction, 98, "invalid device function")                             \
  X(cudaErrorNoDevice, 100, "no CUDA-capable device is detected")                              \
  X(cudaErrorInvalidDevice, 101, "invalid device ordinal")                                     \
  X(cudaErrorInvalidKernelImage, 200, "device kernel image is invalid")                        \
  X(cudaErrorNoKernelImageForDevice, 209, "no kernel image is available for the device")       \
  X(cudaErrorECCUncorrectable, 214, "uncorrectable ECC error encountered")                     \
  X(cudaErrorOperatingSystem, 304, "OS call failed or operation not supported on this OS")     \
  X(cudaErrorInvalidResourceHandle, 400, "invalid resource handle")                            \
  X(cudaErrorSymbolNotFound, 500, "named symbol not found")                                    \
  X(cudaErrorNotReady, 600, "device not ready")                                                \
  X(cudaErrorIllegalAddress, 700, "an illegal memory access was encountered")                  \
  X(cudaErrorLaunchOutOfResources, 701, "too many resources requested for launch")             \
  X(cudaErrorLaunchTimeout, 702, "the launch timed out and was terminated")                    \
  X(cudaErrorAssert, 710, "device-side assert triggered")                                      \
  X(cudaErrorIllegalInstruction, 715, "an illegal instruction was encountered")                \
  X(cudaErrorMisalignedAddress, 716, "misaligned address")                                     \
  X(cudaErrorLaunchFailure, 719, "unspecified launch failure")                                 \
  X(cudaErrorCooperativeLaunchTooLarge, 720, "too many blocks in cooperative launch")          \
  X(cudaErrorNotPermitted, 800, "operation not permitted")                                     \
  X(cudaErrorNotSupported, 801, "operation not supported")                                     \
  X(cudaErrorSystemNotReady, 802, "system not yet initialized")                                \
  X(cudaErrorSystemDriverMismatch, 803, "system has unsupported display driver / CUDA pair")   \
  X(cudaErrorTimeout, 909, "wait operation timed out")                                         \
  X(cudaErrorUnknown, 999, "unknown error")
