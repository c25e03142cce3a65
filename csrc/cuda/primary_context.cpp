#include "cuda/primary_context.hpp"

#include <string>

#include "cuda/driver.hpp"
#include "device/memory.hpp"

namespace kvprof::cuda {

PrimaryContext::PrimaryContext(int index) {
  const Driver& driver = Driver::get();
  check(driver.device(&device_, index), "cuDeviceGet");
  const CUresult result = driver.retain_context(&context_, device_);
  if (result == CUDA_ERROR_OUT_OF_MEMORY) {
    throw AllocationError("CUDA device " + std::to_string(index) +
                          " has no memory left for a context: another process holds it (see "
                          "nvidia-smi)");
  }
  check(result, "cuDevicePrimaryCtxRetain");
}

PrimaryContext::~PrimaryContext() { Driver::get().release_context(device_); }

ContextScope::ContextScope(const PrimaryContext& context) noexcept
    : pushed_(Driver::get().push_context(context.get()) == CUDA_SUCCESS) {}

ContextScope::~ContextScope() {
  CUcontext popped = nullptr;
  if (pushed_) Driver::get().pop_context(&popped);
}

}  // namespace kvprof::cuda
