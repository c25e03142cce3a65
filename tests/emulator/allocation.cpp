// Device and pinned memory that is allocated and freed at once.
#include "memory.hpp"
#include "state.hpp"
#include "streams.hpp"
#include "virtual_memory.hpp"

namespace emulated {
namespace {

cudaError_t allocate_device(void** out, std::size_t bytes) {
  if (bytes == 0) return *out = nullptr, cudaSuccess;
  DeviceBytes& device = DeviceBytes::of(current_device());
  if (!device.hold_allocation(bytes)) return cudaErrorMemoryAllocation;
  const auto made = Allocations::instance().make(bytes, MemoryKind::kDevice, current_device());
  if (made) return *out = made->address, cudaSuccess;
  device.let_go_allocation(bytes);
  return cudaErrorMemoryAllocation;
}

cudaError_t allocate_pinned(void** out, std::size_t bytes) {
  if (bytes == 0) return *out = nullptr, cudaSuccess;
  const auto made = Allocations::instance().make(bytes, MemoryKind::kPinned, current_device());
  if (!made) return cudaErrorMemoryAllocation;
  return *out = made->address, cudaSuccess;
}

cudaError_t free_now(void* address, MemoryKind kind) {
  if (address == nullptr) return cudaSuccess;
  const auto freed = Allocations::instance().start_free(address, kind);
  if (!freed) return cudaErrorInvalidValue;
  if (kind == MemoryKind::kDevice) {
    wait_for_device(freed->device);
    DeviceBytes::of(freed->device).let_go_allocation(freed->bytes);
  } else {
    for (int device = 0; device < kMostDevices; ++device) wait_for_device(device);
  }
  Allocations::instance().finish_free(*freed);
  return cudaSuccess;
}

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaMalloc(void** devPtr, size_t size) {
  return runtime_call("cudaMalloc", [&] { return allocate_device(devPtr, size); });
}

cudaError_t cudaFree(void* devPtr) {
  return release_call([&] { return free_now(devPtr, MemoryKind::kDevice); });
}

cudaError_t cudaMallocHost(void** ptr, size_t size) {
  return runtime_call("cudaMallocHost", [&] { return allocate_pinned(ptr, size); });
}

cudaError_t cudaFreeHost(void* ptr) {
  return release_call([&] { return free_now(ptr, MemoryKind::kPinned); });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return runtime_call("cudaMemGetInfo", [&] {
    DeviceBytes& device = DeviceBytes::of(current_device());
    *total = device.total();
    *free = *total - device.held();
    return cudaSuccess;
  });
}

size_t kvprof_emulated_live_allocations(void) {
  return Allocations::instance().count() + VirtualMemory::instance().count();
}

size_t kvprof_emulated_held_bytes(void) {
  size_t held = 0;
  for (int device = 0; device < kMostDevices; ++device) held += DeviceBytes::of(device).held();
  return held;
}

}  // extern "C"
