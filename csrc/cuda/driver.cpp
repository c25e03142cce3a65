#include "cuda/driver.hpp"

#include <cuda_runtime_api.h>

#include <string>

#include "cuda/cuda_check.hpp"
#include "device/backend.hpp"

namespace kvprof::cuda {
namespace {

/// Null where the driver has no such function. A driver that is older than the version asked for
/// answers with an error.
template <class Function>
void find(const char* name, unsigned version, Function& function) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult answer = cudaDriverEntryPointSymbolNotFound;
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &found, version, cudaEnableDefault, &answer);
  if (error != cudaSuccess) cudaGetLastError();
  const bool known = error == cudaSuccess && answer == cudaDriverEntryPointSuccess;
  function = reinterpret_cast<Function>(known ? found : nullptr);
}

template <class Function>
void require(const char* name, unsigned version, Function& function) {
  find(name, version, function);
  if (function == nullptr) {
    throw DeviceFault(std::string("the NVIDIA driver has no ") + name +
                      ": it is older than this build needs, or failed");
  }
}

Driver found() {
  Driver driver{};
  require("cuGetErrorName", 6000, driver.error_name);
  require("cuDeviceGet", 2000, driver.device);
  require("cuDeviceGetAttribute", 2000, driver.attribute);
  require("cuDevicePrimaryCtxRetain", 7000, driver.retain_context);
  require("cuDevicePrimaryCtxRelease", 11000, driver.release_context);
  require("cuCtxPushCurrent", 4000, driver.push_context);
  require("cuCtxPopCurrent", 4000, driver.pop_context);
  require("cuMemGetAllocationGranularity", 10020, driver.granularity);
  require("cuMemAddressReserve", 10020, driver.reserve);
  require("cuMemAddressFree", 10020, driver.unreserve);
  require("cuMemCreate", 10020, driver.create);
  require("cuMemRelease", 10020, driver.release);
  require("cuMemMap", 10020, driver.map);
  require("cuMemUnmap", 10020, driver.unmap);
  require("cuMemSetAccess", 10020, driver.set_access);
  find("cuMemcpyBatchAsync", 12080, driver.copy_batch);
  find("cuFuncLoad", 12040, driver.load_kernel);
  return driver;
}

}  // namespace

const Driver& Driver::get() {
  static const Driver driver = found();
  return driver;
}

void load_kernel(const void* kernel) {
  if (Driver::get().load_kernel == nullptr) return;
  cudaFunction_t function = nullptr;
  check(cudaGetFuncBySymbol(&function, kernel), "looking up a kernel");
  check(Driver::get().load_kernel(function), "cuFuncLoad");
}

void check(CUresult result, const char* doing) {
  if (result == CUDA_SUCCESS) return;
  const char* name = nullptr;
  Driver::get().error_name(result, &name);
  const std::string message =
      std::string(doing) + " failed with " + (name ? name : std::to_string(result));
  if (result == CUDA_ERROR_OUT_OF_MEMORY) throw AllocationError(message);
  throw DeviceFault(message);
}

}  // namespace kvprof::cuda
