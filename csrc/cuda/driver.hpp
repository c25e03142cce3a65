// The driver's own functions, for what the runtime does not offer. They are asked of the driver by
// name and version, so that nothing links to libcuda and the module imports without it.
#pragma once
#include <cudaTypedefs.h>

namespace kvprof::cuda {

/// Contexts, attributes, virtual memory management (CUDA 10.2), and copies in a batch (12.8; null
/// with an older driver).
struct Driver {
  PFN_cuGetErrorName_v6000 error_name;
  PFN_cuDeviceGet_v2000 device;
  PFN_cuDeviceGetAttribute_v2000 attribute;
  PFN_cuDevicePrimaryCtxRetain_v7000 retain_context;
  PFN_cuDevicePrimaryCtxRelease_v11000 release_context;
  PFN_cuCtxPushCurrent_v4000 push_context;
  PFN_cuCtxPopCurrent_v4000 pop_context;
  PFN_cuMemGetAllocationGranularity_v10020 granularity;
  PFN_cuMemAddressReserve_v10020 reserve;
  PFN_cuMemAddressFree_v10020 unreserve;
  PFN_cuMemCreate_v10020 create;
  PFN_cuMemRelease_v10020 release;
  PFN_cuMemMap_v10020 map;
  PFN_cuMemUnmap_v10020 unmap;
  PFN_cuMemSetAccess_v10020 set_access;
  PFN_cuMemcpyBatchAsync_v12080 copy_batch;
  PFN_cuFuncLoad_v12040 load_kernel;  ///< null before CUDA 12.4

  /// The functions of the driver that is loaded. Throws DeviceFault when one is missing.
  static const Driver& get();
};

/// Makes the driver load a kernel of the runtime's on the current device, where it can be told to;
/// else it has when it was first asked about the kernel. Throws DeviceFault.
void load_kernel(const void* kernel);

/// Throws AllocationError when the device is out of memory, DeviceFault for any other failure.
void check(CUresult result, const char* doing);

}  // namespace kvprof::cuda
