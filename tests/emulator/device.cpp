// The emulated device: one, with the attributes of an sm_90 that has two multiprocessors.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "memory.hpp"
#include "state.hpp"

namespace emulated {
namespace {

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

cudaDeviceProp properties() {
  cudaDeviceProp device{};
  std::snprintf(device.name, sizeof(device.name), "CUDA emulator (no GPU)");
  device.totalGlobalMem = DeviceBytes::instance().total();
  return device;
}

}  // namespace
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
  *count = 0;
  if (driver_version() < CUDART_VERSION) return remembered(cudaErrorInsufficientDriver);
  if (is_hidden()) return remembered(cudaErrorNoDevice);
  *count = 1;
  return remembered(device_error());
}

cudaError_t cudaSetDevice(int device) {
  return runtime_call("cudaSetDevice",
                      [&] { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaGetDevice(int* device) {
  return runtime_call("cudaGetDevice", [&] { return *device = 0, cudaSuccess; });
}

cudaError_t cudaDeviceGetAttribute(int* value, enum cudaDeviceAttr attr, int device) {
  return runtime_call("cudaDeviceGetAttribute", [&] {
    return device == 0 ? attribute(value, attr) : cudaErrorInvalidDevice;
  });
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp* prop, int device) {
  return runtime_call("cudaGetDeviceProperties", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    *prop = properties();
    return cudaSuccess;
  });
}

}  // extern "C"
