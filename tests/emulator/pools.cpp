#include "pools.hpp"

#include <algorithm>
#include <mutex>
#include <set>

#include "memory.hpp"
#include "state.hpp"
#include "streams.hpp"

struct CUmemPoolHandle_st {
  int device;
  std::uint64_t threshold = 0;
  std::uint64_t reserved = 0;
  std::uint64_t used = 0;
  bool destroyed = false;
};

namespace emulated {
namespace {

constexpr std::size_t kPoolUnit = 512;

struct Pools {
  std::mutex mutex;
  std::set<cudaMemPool_t> created;

  bool has(cudaMemPool_t pool) const { return created.count(pool) > 0 && !pool->destroyed; }
};

Pools& pools() {
  static Pools& all = *new Pools;
  return all;
}

void shrink(CUmemPoolHandle_st& pool, std::uint64_t keep) {
  if (keep >= pool.reserved) return;
  const std::uint64_t wanted = rounded_up(std::max(pool.used, keep), kGranularity);
  const std::uint64_t target = std::min(pool.reserved, wanted);
  DeviceBytes::of(pool.device).let_go(pool.reserved - target);
  pool.reserved = target;
}

bool take(CUmemPoolHandle_st& pool, std::size_t bytes) {
  if (bytes > DeviceBytes::of(pool.device).total()) return false;
  const std::uint64_t used = pool.used + rounded_up(bytes, kPoolUnit);
  if (used > pool.reserved) {
    const std::uint64_t reserved = rounded_up(used, kGranularity);
    if (!DeviceBytes::of(pool.device).hold(reserved - pool.reserved)) return false;
    pool.reserved = reserved;
  }
  pool.used = used;
  return true;
}

void delete_if_unused(cudaMemPool_t pool) {
  if (!pool->destroyed || pool->used > 0) return;
  shrink(*pool, 0);
  pools().created.erase(pool);
  delete pool;
}

void return_to_pool(cudaMemPool_t pool, std::size_t bytes) {
  const std::lock_guard lock(pools().mutex);
  pool->used -= rounded_up(bytes, kPoolUnit);
  delete_if_unused(pool);
}

cudaError_t allocate(void** out, std::size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  if (!find_stream(stream)) return cudaErrorInvalidResourceHandle;
  if (bytes == 0) return *out = nullptr, cudaSuccess;
  {
    const std::lock_guard lock(pools().mutex);
    if (!pools().has(pool)) return cudaErrorInvalidValue;
    if (!take(*pool, bytes)) return cudaErrorMemoryAllocation;
  }
  const auto made = Allocations::instance().make(bytes, MemoryKind::kPool, pool->device, pool);
  if (!made) return return_to_pool(pool, bytes), cudaErrorMemoryAllocation;
  return *out = made->address, cudaSuccess;
}

}  // namespace

void release_unused_pool_memory() {
  const std::lock_guard lock(pools().mutex);
  for (const cudaMemPool_t pool : pools().created) shrink(*pool, pool->threshold);
}

std::size_t pool_count() {
  const std::lock_guard lock(pools().mutex);
  return pools().created.size();
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaMallocFromPoolAsync(void** ptr, size_t size, cudaMemPool_t memPool,
                                    cudaStream_t stream) {
  return runtime_call("cudaMallocFromPoolAsync",
                      [&] { return allocate(ptr, size, memPool, stream); });
}

cudaError_t cudaFreeAsync(void* devPtr, cudaStream_t hStream) {
  return release_call([&] {
    if (devPtr == nullptr) return cudaSuccess;
    if (!find_stream(hStream)) return cudaErrorInvalidResourceHandle;
    const auto freed = Allocations::instance().start_free(devPtr, MemoryKind::kPool);
    if (!freed) return cudaErrorInvalidValue;
    // At once: what is queued behind this free in its stream may have the bytes already.
    return_to_pool(freed->pool, freed->bytes);
    return submit(hStream, [gone = *freed] { Allocations::instance().finish_free(gone); });
  });
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* memPool, const struct cudaMemPoolProps* poolProps) {
  return runtime_call("cudaMemPoolCreate", [&] {
    const cudaMemLocation where = poolProps->location;
    if (poolProps->allocType != cudaMemAllocationTypePinned) return cudaErrorInvalidValue;
    if (where.type != cudaMemLocationTypeDevice) return cudaErrorInvalidValue;
    if (!is_device(where.id)) return cudaErrorInvalidDevice;
    *memPool = new CUmemPoolHandle_st{where.id};
    const std::lock_guard lock(pools().mutex);
    pools().created.insert(*memPool);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t memPool) {
  return release_call([&] {
    const std::lock_guard lock(pools().mutex);
    if (!pools().has(memPool)) return cudaErrorInvalidValue;
    memPool->destroyed = true;
    delete_if_unused(memPool);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t memPool, enum cudaMemPoolAttr attr, void* value) {
  return runtime_call("cudaMemPoolSetAttribute", [&] {
    const std::lock_guard lock(pools().mutex);
    if (!pools().has(memPool)) return cudaErrorInvalidValue;
    if (attr != cudaMemPoolAttrReleaseThreshold) return cudaErrorInvalidValue;
    memPool->threshold = *static_cast<std::uint64_t*>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t memPool, size_t minBytesToKeep) {
  return runtime_call("cudaMemPoolTrimTo", [&] {
    const std::lock_guard lock(pools().mutex);
    if (!pools().has(memPool)) return cudaErrorInvalidValue;
    shrink(*memPool, minBytesToKeep);
    return cudaSuccess;
  });
}

}  // extern "C"
