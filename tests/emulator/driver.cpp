// The driver's functions and how the runtime finds them.
#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime.h>

#include <cstring>
#include <vector>

#include "contexts.hpp"
#include "copies.hpp"
#include "state.hpp"
#include "virtual_memory.hpp"

namespace emulated {
namespace {

bool is_on_device(const CUmemLocation& where) {
  return where.type == CU_MEM_LOCATION_TYPE_DEVICE && is_device(where.id);
}

bool is_valid(const CUmemAllocationProp* property) {
  return property != nullptr && property->type == CU_MEM_ALLOCATION_TYPE_PINNED &&
         is_on_device(property->location);
}

CUresult granularity(size_t* bytes, const CUmemAllocationProp* property,
                     CUmemAllocationGranularity_flags) {
  return driver_call("cuMemGetAllocationGranularity", [&] {
    if (!is_valid(property)) return CUDA_ERROR_INVALID_VALUE;
    return *bytes = kGranularity, CUDA_SUCCESS;
  });
}

CUresult address_reserve(CUdeviceptr* address, size_t bytes, size_t alignment, CUdeviceptr,
                         unsigned long long flags) {
  return driver_call("cuMemAddressReserve", [&] {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return VirtualMemory::instance().reserve(address, bytes, alignment);
  });
}

CUresult address_free(CUdeviceptr address, size_t bytes) {
  return driver_release_call([&] { return VirtualMemory::instance().free(address, bytes); });
}

CUresult create(CUmemGenericAllocationHandle* handle, size_t bytes,
                const CUmemAllocationProp* property, unsigned long long flags) {
  return driver_call("cuMemCreate", [&] {
    if (!is_valid(property) || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return VirtualMemory::instance().create(handle, bytes, property->location.id);
  });
}

CUresult release(CUmemGenericAllocationHandle handle) {
  return driver_release_call([&] { return VirtualMemory::instance().release(handle); });
}

CUresult map(CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
             unsigned long long flags) {
  return driver_call("cuMemMap", [&] {
    if (offset != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return VirtualMemory::instance().map(address, bytes, handle);
  });
}

CUresult unmap(CUdeviceptr address, size_t bytes) {
  return driver_release_call([&] { return VirtualMemory::instance().unmap(address, bytes); });
}

CUresult set_access(CUdeviceptr address, size_t bytes, const CUmemAccessDesc* access,
                    size_t count) {
  return driver_call("cuMemSetAccess", [&] {
    if (count != 1 || !is_on_device(access->location)) return CUDA_ERROR_INVALID_VALUE;
    if (access->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) return CUDA_ERROR_NOT_SUPPORTED;
    return VirtualMemory::instance().set_access(address, bytes, access->location.id);
  });
}

/// What names a kernel loads it here, so there is nothing left to do.
CUresult load_function(CUfunction) { return CUDA_SUCCESS; }

CUresult error_name(CUresult error, const char** text) {
  switch (error) {
#define KVPROF_EMULATED_CASE(name, value) \
  case name:                              \
    *text = #name;                        \
    return CUDA_SUCCESS;
    KVPROF_EMULATED_DRIVER_ERRORS(KVPROF_EMULATED_CASE)
#undef KVPROF_EMULATED_CASE
  }
  *text = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}

struct Entry {
  const char* name;
  unsigned since;
  void* function;
};

template <typename Function>
void* entry(Function function) {
  return reinterpret_cast<void*>(function);
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry>& all = *new std::vector<Entry>{
      {"cuGetErrorName", 6000, entry<PFN_cuGetErrorName_v6000>(error_name)},
      {"cuDeviceGet", 2000, entry<PFN_cuDeviceGet_v2000>(device_get)},
      {"cuDeviceGetAttribute", 2000, entry<PFN_cuDeviceGetAttribute_v2000>(device_attribute)},
      {"cuDevicePrimaryCtxRetain", 7000, entry<PFN_cuDevicePrimaryCtxRetain_v7000>(retain_context)},
      {"cuDevicePrimaryCtxRelease", 11000,
       entry<PFN_cuDevicePrimaryCtxRelease_v11000>(release_context)},
      {"cuCtxPushCurrent", 4000, entry<PFN_cuCtxPushCurrent_v4000>(push_current)},
      {"cuCtxPopCurrent", 4000, entry<PFN_cuCtxPopCurrent_v4000>(pop_current)},
      {"cuMemGetAllocationGranularity", 10020,
       entry<PFN_cuMemGetAllocationGranularity_v10020>(granularity)},
      {"cuMemAddressReserve", 10020, entry<PFN_cuMemAddressReserve_v10020>(address_reserve)},
      {"cuMemAddressFree", 10020, entry<PFN_cuMemAddressFree_v10020>(address_free)},
      {"cuMemCreate", 10020, entry<PFN_cuMemCreate_v10020>(create)},
      {"cuMemRelease", 10020, entry<PFN_cuMemRelease_v10020>(release)},
      {"cuMemMap", 10020, entry<PFN_cuMemMap_v10020>(map)},
      {"cuMemUnmap", 10020, entry<PFN_cuMemUnmap_v10020>(unmap)},
      {"cuMemSetAccess", 10020, entry<PFN_cuMemSetAccess_v10020>(set_access)},
      {"cuFuncLoad", 12040, entry<PFN_cuFuncLoad_v12040>(load_function)},
      {"cuMemcpyBatchAsync", 12080, entry<PFN_cuMemcpyBatchAsync_v12080>(copy_batch)}};
  return all;
}

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" cudaError_t cudaGetDriverEntryPointByVersion(
    const char* symbol, void** funcPtr, unsigned int cudaVersion, unsigned long long,
    enum cudaDriverEntryPointQueryResult* driverStatus) {
  return query_call("cudaGetDriverEntryPointByVersion", [&] {
    *funcPtr = nullptr;
    *driverStatus = cudaDriverEntryPointSymbolNotFound;
    for (const Entry& candidate : entries()) {
      if (std::strcmp(candidate.name, symbol) != 0) continue;
      const bool known = candidate.since <= cudaVersion;
      *driverStatus = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointVersionNotSufficent;
      if (known) *funcPtr = candidate.function;
    }
    return cudaSuccess;
  });
}
