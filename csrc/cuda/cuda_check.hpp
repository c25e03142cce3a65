// Every call into the CUDA runtime is checked here.
#pragma once
#include <cuda_runtime_api.h>

#include <string>

namespace kvprof::cuda {

/// Throws DeviceFault that says what was done and what the driver answered.
void check(cudaError_t error, const char* doing);

/// "cudaErrorNoDevice: no CUDA-capable device is detected".
std::string description(cudaError_t error);

/// Makes a device current in this thread while it lives.
class DeviceScope {
 public:
  explicit DeviceScope(int index);
  ~DeviceScope();
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  int before_ = 0;
};

}  // namespace kvprof::cuda
