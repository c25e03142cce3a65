// The driver's contexts: one for each device, which a thread pushes and pops.
#pragma once
#include <cudaTypedefs.h>

namespace emulated {

CUresult device_get(CUdevice* device, int ordinal);

/// KVPROF_EMULATED_LACKS names what the devices do not support: pools, vmm.
CUresult device_attribute(int* value, CUdevice_attribute name, CUdevice device);

CUresult retain_context(CUcontext* context, CUdevice device);
CUresult release_context(CUdevice device);
CUresult push_current(CUcontext context);
CUresult pop_current(CUcontext* context);

}  // namespace emulated
