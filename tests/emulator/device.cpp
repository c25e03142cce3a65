// The emulated device: one, with the attributes of an sm_90 that has two multiprocessors.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "memory.hpp"
#include "state.hpp"

namespace emulated {
namespace {

constexpr int kSharedOptin = 232448;
constexpr int kMultiprocessors = 2;

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
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
      return *value = 1024, cudaSuccess;
    case cudaDevAttrMaxGridDimX:
      return *value = 2147483647, cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return *value = 49152, cudaSuccess;
    case cudaDevAttrWarpSize:
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return *value = 32, cudaSuccess;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return *value = 65536, cudaSuccess;
    case cudaDevAttrClockRate:
      return *value = 1980000, cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      return *value = kMultiprocessors, cudaSuccess;
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrIntegrated:
    case cudaDevAttrPciBusId:
    case cudaDevAttrPciDeviceId:
    case cudaDevAttrPciDomainId:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrConcurrentManagedAccess:
    case cudaDevAttrHostRegisterSupported:
    case cudaDevAttrMaxPersistingL2CacheSize:
    case cudaDevAttrClusterLaunch:
      return *value = 0, cudaSuccess;
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrMemoryPoolsSupported:
      return *value = 1, cudaSuccess;
    case cudaDevAttrMemoryClockRate:
      return *value = 2619000, cudaSuccess;
    case cudaDevAttrGlobalMemoryBusWidth:
      return *value = 5120, cudaSuccess;
    case cudaDevAttrL2CacheSize:
      return *value = l2_bytes(), cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return *value = 2048, cudaSuccess;
    case cudaDevAttrAsyncEngineCount:
      return *value = 3, cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      return *value = 9, cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      return *value = 0, cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return *value = 233472, cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return *value = kSharedOptin, cudaSuccess;
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return *value = 1024, cudaSuccess;
  }
  return cudaErrorInvalidValue;
}

cudaDeviceProp properties() {
  cudaDeviceProp device{};
  std::snprintf(device.name, sizeof(device.name), "CUDA emulator (no GPU)");
  device.totalGlobalMem = DeviceBytes::instance().total();
  device.sharedMemPerBlock = 49152;
  device.warpSize = 32;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsDim[0] = device.maxThreadsDim[1] = 1024;
  device.maxThreadsDim[2] = 64;
  device.maxGridSize[0] = 2147483647;
  device.maxGridSize[1] = device.maxGridSize[2] = 65535;
  device.major = 9;
  device.multiProcessorCount = kMultiprocessors;
  device.memoryBusWidth = 5120;
  device.l2CacheSize = l2_bytes();
  device.maxThreadsPerMultiProcessor = 2048;
  device.sharedMemPerMultiprocessor = 233472;
  device.sharedMemPerBlockOptin = kSharedOptin;
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

cudaError_t cudaDeviceGetPCIBusId(char* pciBusId, int len, int device) {
  return runtime_call("cudaDeviceGetPCIBusId", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    std::snprintf(pciBusId, static_cast<std::size_t>(len), "0000:00:00.0");
    return cudaSuccess;
  });
}

}  // extern "C"
