// Device and pinned memory that is allocated and freed at once.
#include "memory.hpp"
#include "pools.hpp"
#include "state.hpp"
#include "streams.hpp"
#include "virtual_memory.hpp"

namespace emulated {
namespace {

cudaError_t allocate_device(void** out, std::size_t bytes) {
  if (bytes == 0) return *out = nullptr, cudaSuccess;
  if (!DeviceBytes::instance().hold_allocation(bytes)) return cudaErrorMemoryAllocation;
  const auto made = Allocations::instance().make(bytes, MemoryKind::kDevice, nullptr);
  if (made) return *out = made->address, cudaSuccess;
  DeviceBytes::instance().let_go_allocation(bytes);
  return cudaErrorMemoryAllocation;
}

cudaError_t allocate_pinned(void** out, std::size_t bytes) {
  if (bytes == 0) return *out = nullptr, cudaSuccess;
  const auto made = Allocations::instance().make(bytes, MemoryKind::kPinned, nullptr);
  if (!made) return cudaErrorMemoryAllocation;
  return *out = made->address, cudaSuccess;
}

cudaError_t free_now(void* address, bool pinned) {
  if (address == nullptr) return cudaSuccess;
  const auto found = Allocations::instance().holding(address);
  if (!found || (found->kind == MemoryKind::kPinned) != pinned) return cudaErrorInvalidValue;
  const auto freed = Allocations::instance().start_free(address);
  if (!freed) return cudaErrorInvalidValue;
  wait_for_all_streams();
  if (freed->kind == MemoryKind::kDevice) DeviceBytes::instance().let_go_allocation(freed->bytes);
  if (freed->kind == MemoryKind::kPool) return_to_pool(freed->pool, freed->bytes);
  Allocations::instance().finish_free(*freed);
  return cudaSuccess;
}

cudaPointerAttributes attributes_of(const void* address) {
  void* same = const_cast<void*>(address);
  switch (Allocations::instance().place_of(address, 1)) {
    case Place::kDevice:
      return {cudaMemoryTypeDevice, 0, same, nullptr, {}};
    case Place::kPinned:
      return {cudaMemoryTypeHost, 0, same, same, {}};
    default:
      return {cudaMemoryTypeUnregistered, cudaInvalidDeviceId, nullptr, same, {}};
  }
}

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaMalloc(void** devPtr, size_t size) {
  return runtime_call("cudaMalloc", [&] { return allocate_device(devPtr, size); });
}

cudaError_t cudaFree(void* devPtr) {
  return release_call([&] { return free_now(devPtr, false); });
}

cudaError_t cudaHostAlloc(void** pHost, size_t size, unsigned int) {
  return runtime_call("cudaMallocHost", [&] { return allocate_pinned(pHost, size); });
}

cudaError_t cudaMallocHost(void** ptr, size_t size) {
  return cudaHostAlloc(ptr, size, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* ptr) {
  return release_call([&] { return free_now(ptr, true); });
}

cudaError_t cudaHostGetDevicePointer(void** pDevice, void* pHost, unsigned int flags) {
  return runtime_call("cudaHostGetDevicePointer", [&] {
    if (flags != 0) return cudaErrorInvalidValue;
    if (Allocations::instance().place_of(pHost, 1) != Place::kPinned) return cudaErrorInvalidValue;
    return *pDevice = pHost, cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return runtime_call("cudaMemGetInfo", [&] {
    *total = DeviceBytes::instance().total();
    *free = *total - DeviceBytes::instance().held();
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes* attributes, const void* ptr) {
  return runtime_call("cudaPointerGetAttributes", [&] {
    *attributes = attributes_of(ptr);
    return cudaSuccess;
  });
}

size_t kvprof_emulated_live_allocations(void) {
  return Allocations::instance().count() + VirtualMemory::instance().count();
}

size_t kvprof_emulated_held_bytes(void) { return DeviceBytes::instance().held(); }

}  // extern "C"
