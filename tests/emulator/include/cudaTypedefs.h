// Types of the driver functions that cudaGetDriverEntryPointByVersion finds.
#pragma once
#include <cuda.h>

typedef CUresult (*PFN_cuGetErrorName_v6000)(CUresult error, const char** pStr);
typedef CUresult (*PFN_cuMemGetAllocationGranularity_v10020)(
    size_t* granularity, const CUmemAllocationProp_v1* prop,
    CUmemAllocationGranularity_flags option);
typedef CUresult (*PFN_cuMemAddressReserve_v10020)(CUdeviceptr_v2* ptr, size_t size,
                                                   size_t alignment, CUdeviceptr_v2 addr,
                                                   unsigned long long flags);
typedef CUresult (*PFN_cuMemAddressFree_v10020)(CUdeviceptr_v2 ptr, size_t size);
typedef CUresult (*PFN_cuMemCreate_v10020)(CUmemGenericAllocationHandle_v1* handle, size_t size,
                                           const CUmemAllocationProp_v1* prop,
                                           unsigned long long flags);
typedef CUresult (*PFN_cuMemRelease_v10020)(CUmemGenericAllocationHandle_v1 handle);
typedef CUresult (*PFN_cuMemMap_v10020)(CUdeviceptr_v2 ptr, size_t size, size_t offset,
                                        CUmemGenericAllocationHandle_v1 handle,
                                        unsigned long long flags);
typedef CUresult (*PFN_cuMemUnmap_v10020)(CUdeviceptr_v2 ptr, size_t size);
typedef CUresult (*PFN_cuMemSetAccess_v10020)(CUdeviceptr_v2 ptr, size_t size,
                                              const CUmemAccessDesc_v1* desc, size_t count);
typedef CUresult (*PFN_cuMemcpyBatchAsync_v12080)(CUdeviceptr_v2* dsts, CUdeviceptr_v2* srcs,
                                                  size_t* sizes, size_t count,
                                                  CUmemcpyAttributes_v1* attrs, size_t* attrIdxs,
                                                  size_t numAttrs, size_t* failIdx,
                                                  CUstream hStream);
typedef CUresult (*PFN_cuDeviceGet_v2000)(CUdevice_v1* device, int ordinal);
typedef CUresult (*PFN_cuDeviceGetAttribute_v2000)(int* pi, CUdevice_attribute attrib,
                                                   CUdevice_v1 dev);
typedef CUresult (*PFN_cuDevicePrimaryCtxRetain_v7000)(CUcontext* pctx, CUdevice_v1 dev);
typedef CUresult (*PFN_cuDevicePrimaryCtxRelease_v11000)(CUdevice_v1 dev);
typedef CUresult (*PFN_cuCtxPushCurrent_v4000)(CUcontext ctx);
typedef CUresult (*PFN_cuCtxPopCurrent_v4000)(CUcontext* pctx);
typedef CUresult (*PFN_cuFuncLoad_v12040)(CUfunction function);
