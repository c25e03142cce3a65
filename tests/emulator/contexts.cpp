#include "contexts.hpp"

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "state.hpp"

namespace emulated {
namespace {

/// Contexts are numbers: one more than the device's, since a null one is none.
CUcontext context_of(int device) {
  return reinterpret_cast<CUcontext>(static_cast<std::uintptr_t>(device) + 1);
}

int device_of(CUcontext context) {
  return static_cast<int>(reinterpret_cast<std::uintptr_t>(context)) - 1;
}

bool lacks(const char* name) {
  const char* missing = std::getenv("KVPROF_EMULATED_LACKS");
  return missing != nullptr && std::strstr(missing, name) != nullptr;
}

CUresult with_driver(bool valid, CUresult otherwise) {
  if (const cudaError_t error = obstacle()) return static_cast<CUresult>(error);
  return valid ? CUDA_SUCCESS : otherwise;
}

}  // namespace

CUresult device_get(CUdevice* device, int ordinal) {
  *device = ordinal;
  return with_driver(is_device(ordinal), CUDA_ERROR_INVALID_DEVICE);
}

CUresult device_attribute(int* value, CUdevice_attribute name, CUdevice device) {
  const bool pools = name == CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED;
  *value = lacks(pools ? "pools" : "vmm") ? 0 : 1;
  return with_driver(is_device(device), CUDA_ERROR_INVALID_DEVICE);
}

CUresult retain_context(CUcontext* context, CUdevice device) {
  *context = context_of(device);
  if (must_fail("cuDevicePrimaryCtxRetain")) return CUDA_ERROR_OUT_OF_MEMORY;
  return with_driver(is_device(device), CUDA_ERROR_INVALID_DEVICE);
}

CUresult release_context(CUdevice) { return CUDA_SUCCESS; }

CUresult push_current(CUcontext context) {
  if (context == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  push_context(device_of(context));
  return CUDA_SUCCESS;
}

CUresult pop_current(CUcontext* context) {
  *context = context_of(current_device());
  return pop_context() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

}  // namespace emulated
