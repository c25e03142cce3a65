// Types of the CUDA driver, with what is named of them. Its functions are reached through
// cudaGetDriverEntryPointByVersion.
#pragma once
#include <cstddef>

typedef unsigned long long CUdeviceptr_v2;
typedef CUdeviceptr_v2 CUdeviceptr;
typedef unsigned long long CUmemGenericAllocationHandle_v1;
typedef CUmemGenericAllocationHandle_v1 CUmemGenericAllocationHandle;
typedef struct CUstream_st* CUstream;
typedef struct CUctx_st* CUcontext;
typedef struct CUfunc_st* CUfunction;
typedef int CUdevice_v1;
typedef CUdevice_v1 CUdevice;

typedef enum CUdevice_attribute_enum {
  CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED = 102,
  CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED = 115
} CUdevice_attribute;

// KVPROF_EMULATED_DRIVER_ERRORS(X) calls X(name, value) for each error.
#define KVPROF_EMULATED_DRIVER_ERRORS(X) \
  X(CUDA_SUCCESS, 0)                     \
  X(CUDA_ERROR_INVALID_VALUE, 1)         \
  X(CUDA_ERROR_OUT_OF_MEMORY, 2)         \
  X(CUDA_ERROR_NO_DEVICE, 100)           \
  X(CUDA_ERROR_INVALID_DEVICE, 101)      \
  X(CUDA_ERROR_INVALID_CONTEXT, 201)     \
  X(CUDA_ERROR_INVALID_HANDLE, 400)      \
  X(CUDA_ERROR_ILLEGAL_ADDRESS, 700)     \
  X(CUDA_ERROR_MISALIGNED_ADDRESS, 716)  \
  X(CUDA_ERROR_LAUNCH_FAILED, 719)       \
  X(CUDA_ERROR_NOT_SUPPORTED, 801)       \
  X(CUDA_ERROR_UNKNOWN, 999)

typedef enum cudaError_enum {
#define KVPROF_EMULATED_ENUMERATOR(name, value) name = value,
  KVPROF_EMULATED_DRIVER_ERRORS(KVPROF_EMULATED_ENUMERATOR)
#undef KVPROF_EMULATED_ENUMERATOR
} CUresult;

typedef enum CUmemLocationType_enum { CU_MEM_LOCATION_TYPE_DEVICE = 0x1 } CUmemLocationType;

typedef struct CUmemLocation_st {
  CUmemLocationType type;
  int id;
} CUmemLocation;

typedef enum CUmemAllocationType_enum { CU_MEM_ALLOCATION_TYPE_PINNED = 0x1 } CUmemAllocationType;

typedef struct CUmemAllocationProp_st {
  CUmemAllocationType type;
  CUmemLocation location;
} CUmemAllocationProp_v1;
typedef CUmemAllocationProp_v1 CUmemAllocationProp;

typedef enum CUmemAllocationGranularity_flags_enum {
  CU_MEM_ALLOC_GRANULARITY_MINIMUM = 0x0
} CUmemAllocationGranularity_flags;

typedef enum CUmemAccess_flags_enum { CU_MEM_ACCESS_FLAGS_PROT_READWRITE = 0x3 } CUmemAccess_flags;

typedef struct CUmemAccessDesc_st {
  CUmemLocation location;
  CUmemAccess_flags flags;
} CUmemAccessDesc_v1;
typedef CUmemAccessDesc_v1 CUmemAccessDesc;

typedef enum CUmemcpySrcAccessOrder_enum {
  CU_MEMCPY_SRC_ACCESS_ORDER_STREAM = 0x1
} CUmemcpySrcAccessOrder;

typedef struct CUmemcpyAttributes_st {
  CUmemcpySrcAccessOrder srcAccessOrder;
  CUmemLocation srcLocHint;
  CUmemLocation dstLocHint;
  unsigned int flags;
} CUmemcpyAttributes_v1;
typedef CUmemcpyAttributes_v1 CUmemcpyAttributes;
