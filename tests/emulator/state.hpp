// What every call of the API goes through: the device's error, the thread's last error, faults that
// a test asked for.
#pragma once
#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <string>

#include "device.hpp"

namespace emulated {

/// The error of a faulted kernel or copy, which every later call returns; cudaSuccess without one.
cudaError_t device_error();
/// Writes why to stderr. The first error stays.
void set_device_error(cudaError_t error, const std::string& why);

/// Why no call can be served: the device's error, an old driver, no device.
cudaError_t obstacle();

/// Keeps error as the calling thread's last one, and returns it.
cudaError_t remembered(cudaError_t error);

/// True where KVPROF_EMULATED_FAIL_AT, "NAME:N[,NAME:N...]", names this call. Calls count from the
/// moment that the variable got its present value.
bool must_fail(const char* function);

/// An environment variable's number, or otherwise where it is not set.
std::uint64_t environment_number(const char* name, std::uint64_t otherwise);

/// The body of a runtime function that needs a driver, but no context of a device.
template <typename Body>
cudaError_t query_call(const char* name, Body body) {
  if (const cudaError_t error = obstacle()) return remembered(error);
  if (must_fail(name)) return remembered(cudaErrorMemoryAllocation);
  return remembered(body());
}

/// The body of a runtime function that needs the current device.
template <typename Body>
cudaError_t runtime_call(const char* name, Body body) {
  bind_context();
  return query_call(name, body);
}

/// The body of a runtime function that gives something back: it does so after a fault too, so that
/// an emulated process can end without leaks.
template <typename Body>
cudaError_t release_call(Body body) {
  bind_context();
  const cudaError_t error = body();
  const cudaError_t device = obstacle();
  return remembered(device ? device : error);
}

template <typename Body>
CUresult driver_call(const char* name, Body body) {
  if (const cudaError_t error = obstacle()) return static_cast<CUresult>(error);
  if (!has_context()) return CUDA_ERROR_INVALID_CONTEXT;
  if (must_fail(name)) return CUDA_ERROR_OUT_OF_MEMORY;
  return body();
}

template <typename Body>
CUresult driver_release_call(Body body) {
  if (!has_context()) return CUDA_ERROR_INVALID_CONTEXT;
  const CUresult result = body();
  const cudaError_t device = obstacle();
  return device ? static_cast<CUresult>(device) : result;
}

}  // namespace emulated
