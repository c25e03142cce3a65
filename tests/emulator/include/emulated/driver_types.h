// Enumerations, structures and handles of the CUDA runtime, with what is named of them.
#pragma once
#include <cstddef>

#include "emulated/error_list.h"
#include "emulated/vector_types.h"

enum cudaError {
#define KVPROF_EMULATED_ENUMERATOR(name, value, text) name = value,
  KVPROF_EMULATED_ERRORS(KVPROF_EMULATED_ENUMERATOR)
#undef KVPROF_EMULATED_ENUMERATOR
};
typedef enum cudaError cudaError_t;

typedef struct CUstream_st* cudaStream_t;
typedef struct CUevent_st* cudaEvent_t;
typedef struct CUmemPoolHandle_st* cudaMemPool_t;

#define cudaStreamNonBlocking 0x01

enum cudaMemcpyKind { cudaMemcpyDeviceToDevice = 3, cudaMemcpyDefault = 4 };

enum cudaMemPoolAttr { cudaMemPoolAttrReleaseThreshold = 0x4 };

enum cudaMemAllocationType { cudaMemAllocationTypePinned = 0x1 };

enum cudaMemLocationType { cudaMemLocationTypeDevice = 1 };

struct cudaMemLocation {
  enum cudaMemLocationType type;
  int id;
};

struct cudaMemPoolProps {
  enum cudaMemAllocationType allocType;
  struct cudaMemLocation location;
};

enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount = 16,
  cudaDevAttrMemoryClockRate = 36,
  cudaDevAttrGlobalMemoryBusWidth = 37,
  cudaDevAttrL2CacheSize = 38,
  cudaDevAttrComputeCapabilityMajor = 75,
  cudaDevAttrComputeCapabilityMinor = 76
};

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
};

typedef struct CUfunc_st* cudaFunction_t;

struct cudaFuncAttributes {
  int ptxVersion;
  int binaryVersion;
};

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };

enum cudaDriverEntryPointQueryResult {
  cudaDriverEntryPointSuccess = 0,
  cudaDriverEntryPointSymbolNotFound = 1,
  cudaDriverEntryPointVersionNotSufficent = 2
};

enum cudaGetDriverEntryPointFlags { cudaEnableDefault = 0x0 };

typedef struct cudaLaunchConfig_st {
  dim3 gridDim;
  dim3 blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
} cudaLaunchConfig_t;
