#include "cuda/device_facts.hpp"

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "cuda/cuda_check.hpp"

namespace kvprof::cuda {
namespace {

/// The CUDA runtime's encoding: 1000 x major + 10 x minor.
CudaVersion decoded(int version) { return {version / 1000, version % 1000 / 10}; }

std::string text(CudaVersion version) {
  return std::to_string(version.major) + "." + std::to_string(version.minor);
}

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, name, device), "asking for an attribute");
  return value;
}

/// 0 where the driver does not tell.
double optional_attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  if (cudaDeviceGetAttribute(&value, name, device) != cudaSuccess) cudaGetLastError();
  return value;
}

std::optional<double> bus_peak_bytes_per_s(int device) {
  const double clock_hz = 1e3 * optional_attribute(cudaDevAttrMemoryClockRate, device);
  const double width_bytes = optional_attribute(cudaDevAttrGlobalMemoryBusWidth, device) / 8.0;
  const double peak = 2 * clock_hz * width_bytes;
  return peak > 0 ? std::optional<double>(peak) : std::nullopt;
}

}  // namespace

CudaVersion runtime_version() {
  int version = 0;
  check(cudaRuntimeGetVersion(&version), "asking for the runtime's version");
  return decoded(version);
}

std::optional<CudaVersion> driver_version() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return std::nullopt;
  return decoded(version);
}

std::optional<std::string> unavailable_reason() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return std::nullopt;
  const std::optional<CudaVersion> driver = driver_version();
  if (!driver) return "no NVIDIA driver is installed on this machine";
  if (error == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver serves CUDA " + text(*driver) + ", this build needs CUDA " +
           text(runtime_version());
  }
  if (error == cudaSuccess || error == cudaErrorNoDevice) {
    return "the NVIDIA driver shows no device to this process (see CUDA_VISIBLE_DEVICES)";
  }
  return description(error);
}

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

void require_device(int index) {
  const int count = device_count();
  if (index < 0 || index >= count) {
    const std::optional<std::string> reason = unavailable_reason();
    throw std::out_of_range("there is no CUDA device " + std::to_string(index) + ": " +
                            reason.value_or("this process sees " + std::to_string(count)));
  }
}

DeviceFacts device_facts(int index) {
  require_device(index);
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "asking for properties");
  DeviceFacts facts;
  facts.name = properties.name;
  facts.backend = "cuda";
  facts.instruction_set = "sm_" +
                          std::to_string(attribute(cudaDevAttrComputeCapabilityMajor, index)) +
                          std::to_string(attribute(cudaDevAttrComputeCapabilityMinor, index));
  facts.compute_units = attribute(cudaDevAttrMultiProcessorCount, index);
  facts.memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
  facts.last_level_cache_bytes = attribute(cudaDevAttrL2CacheSize, index);
  facts.bus_peak_bytes_per_s = bus_peak_bytes_per_s(index);
  return facts;
}

}  // namespace kvprof::cuda
