// Allocations, pools, copies and what the device says it has left.
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.hpp"

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

std::size_t free_bytes() {
  std::size_t free = 0;
  std::size_t total = 0;
  CHECK_OK(cudaMemGetInfo(&free, &total));
  return free;
}

void check_held_bytes() {
  const std::size_t before = free_bytes();
  std::vector<void*> small(3);
  for (void*& memory : small) CHECK_OK(cudaMalloc(&memory, 1000));
  CHECK(free_bytes() == before - 2 * kMiB);
  void* large = nullptr;
  CHECK_OK(cudaMalloc(&large, 3 * kMiB));
  CHECK(free_bytes() == before - 6 * kMiB);
  CHECK(reinterpret_cast<std::uintptr_t>(large) % 256 == 0);
  void* most = nullptr;
  CHECK(cudaMalloc(&most, before) == cudaErrorMemoryAllocation);
  CHECK(cudaMalloc(&most, SIZE_MAX) == cudaErrorMemoryAllocation);
  CHECK(cudaFree(static_cast<std::byte*>(large) + 256) == cudaErrorInvalidValue);
  cudaGetLastError();
  for (void* memory : small) CHECK_OK(cudaFree(memory));
  CHECK_OK(cudaFree(large));
  CHECK_OK(cudaFree(nullptr));
  CHECK(free_bytes() == before);
}

void check_pools(cudaStream_t stream) {
  const std::size_t before = free_bytes();
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, 0};
  cudaMemPool_t pool = nullptr;
  CHECK_OK(cudaMemPoolCreate(&pool, &properties));
  std::uint64_t keep = UINT64_MAX;
  CHECK_OK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  void* memory = nullptr;
  CHECK_OK(cudaMallocFromPoolAsync(&memory, 5 * kMiB, pool, stream));
  CHECK_OK(cudaMemsetAsync(memory, 1, 5 * kMiB, stream));
  CHECK_OK(cudaFreeAsync(memory, stream));
  CHECK(cudaFreeAsync(memory, stream) == cudaErrorInvalidValue);
  CHECK_OK(cudaStreamSynchronize(stream));
  CHECK(free_bytes() == before - 6 * kMiB);
  CHECK_OK(cudaMemPoolTrimTo(pool, 0));
  CHECK(free_bytes() == before);
  CHECK(cudaMallocFromPoolAsync(&memory, before + 1, pool, stream) == cudaErrorMemoryAllocation);
  CHECK_OK(cudaMemPoolDestroy(pool));
  cudaGetLastError();
}

void check_copies(cudaStream_t stream) {
  std::byte* device = nullptr;
  CHECK_OK(cudaMalloc(&device, 1000));
  std::vector<std::byte> host(1000);
  for (std::size_t i = 0; i < host.size(); ++i) host[i] = static_cast<std::byte>(i);
  const std::vector<std::byte> original = host;
  CHECK_OK(cudaMemcpyAsync(device, host.data(), 1000, cudaMemcpyDefault, stream));
  std::memset(host.data(), 0, 1000);  // pageable bytes were staged
  CHECK_OK(cudaMemcpyAsync(host.data(), device, 1000, cudaMemcpyDefault, stream));
  CHECK(host == original);
  CHECK_OK(cudaMemsetAsync(device, 7, 500, stream));
  CHECK_OK(cudaMemcpyAsync(device + 500, device, 500, cudaMemcpyDeviceToDevice, stream));
  CHECK_OK(cudaMemcpyAsync(host.data(), device, 1000, cudaMemcpyDefault, stream));
  CHECK(host[999] == std::byte{7});
  CHECK(cudaMemcpyAsync(device + 1, host.data(), 1000, cudaMemcpyDefault, stream) ==
        cudaErrorInvalidValue);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidValue);
  kvprof_emulated_clear_error();
  CHECK(cudaMemcpyAsync(device, host.data(), 1, cudaMemcpyDeviceToDevice, stream) ==
        cudaErrorInvalidValue);
  kvprof_emulated_clear_error();
  cudaGetLastError();
  CHECK_OK(cudaFree(device));
}

}  // namespace

void check_memory(cudaStream_t stream) {
  check_held_bytes();
  check_pools(stream);
  check_copies(stream);
}
