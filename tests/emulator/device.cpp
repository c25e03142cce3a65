// The emulated devices, with the attributes of an sm_90 that has two multiprocessors.
#include "device.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "memory.hpp"
#include "state.hpp"

namespace emulated {
namespace {

thread_local int current_ = 0;
thread_local bool has_context_ = false;

struct Current {
  int device;
  bool has_context;
};
thread_local std::vector<Current> below_;

int l2_bytes() { return static_cast<int>(environment_number("KVPROF_EMULATED_L2_BYTES", 1 << 20)); }

int driver_version() {
  return static_cast<int>(environment_number("KVPROF_EMULATED_DRIVER_VERSION", CUDART_VERSION));
}

bool is_hidden() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  return visible != nullptr && (*visible == '\0' || std::strcmp(visible, "-1") == 0);
}

cudaError_t attribute(int* value, cudaDeviceAttr name) {
  switch (name) {
    case cudaDevAttrMultiProcessorCount:
      return *value = 2, cudaSuccess;
    case cudaDevAttrMemoryClockRate:
      return *value = 2619000, cudaSuccess;
    case cudaDevAttrGlobalMemoryBusWidth:
      return *value = 5120, cudaSuccess;
    case cudaDevAttrL2CacheSize:
      return *value = l2_bytes(), cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      return *value = 9, cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      return *value = 0, cudaSuccess;
  }
  return cudaErrorInvalidValue;
}

cudaDeviceProp properties_of(int index) {
  cudaDeviceProp device{};
  std::snprintf(device.name, sizeof(device.name), "CUDA emulator (no GPU)");
  device.totalGlobalMem = DeviceBytes::of(index).total();
  return device;
}

}  // namespace

int device_count() {
  if (driver_version() < CUDART_VERSION || is_hidden()) return 0;
  const auto count = static_cast<int>(environment_number("KVPROF_EMULATED_DEVICES", 1));
  return std::clamp(count, 1, kMostDevices);
}

bool is_device(int index) { return index >= 0 && index < device_count(); }

int current_device() { return current_; }

void bind_context() { has_context_ = true; }

bool has_context() { return has_context_; }

void push_context(int index) {
  below_.push_back({current_, has_context_});
  current_ = index;
  has_context_ = true;
}

bool pop_context() {
  if (below_.empty()) return false;
  current_ = below_.back().device;
  has_context_ = below_.back().has_context;
  below_.pop_back();
  return true;
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaDriverGetVersion(int* driverVersion) {
  return *driverVersion = driver_version(), cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* runtimeVersion) {
  return *runtimeVersion = CUDART_VERSION, cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device_count();
  if (driver_version() < CUDART_VERSION) return remembered(cudaErrorInsufficientDriver);
  return remembered(*count == 0 ? cudaErrorNoDevice : device_error());
}

cudaError_t cudaSetDevice(int device) {
  // After a fault too: what a thread gives back then is of its own device.
  if (is_device(device)) {
    current_ = device;
    bind_context();
  }
  return query_call("cudaSetDevice",
                    [&] { return is_device(device) ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaGetDevice(int* device) {
  return query_call("cudaGetDevice", [&] { return *device = current_, cudaSuccess; });
}

cudaError_t cudaDeviceGetAttribute(int* value, enum cudaDeviceAttr attr, int device) {
  return query_call("cudaDeviceGetAttribute", [&] {
    return is_device(device) ? attribute(value, attr) : cudaErrorInvalidDevice;
  });
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp* prop, int device) {
  return query_call("cudaGetDeviceProperties", [&] {
    if (!is_device(device)) return cudaErrorInvalidDevice;
    return *prop = properties_of(device), cudaSuccess;
  });
}

}  // extern "C"
