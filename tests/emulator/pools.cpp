#include "pools.hpp"

#include <algorithm>
#include <mutex>
#include <set>

#include "memory.hpp"
#include "state.hpp"
#include "streams.hpp"

struct CUmemPoolHandle_st {
  std::size_t most;
  std::uint64_t threshold = 0;
  std::uint64_t reserved = 0, most_reserved = 0;
  std::uint64_t used = 0, most_used = 0;
  bool destroyed = false;
};

namespace emulated {
namespace {

constexpr std::size_t kPoolUnit = 512;

struct Pools {
  std::mutex mutex;
  CUmemPoolHandle_st standard{0};
  cudaMemPool_t current = &standard;
  std::set<cudaMemPool_t> created;

  bool has(cudaMemPool_t pool) const {
    return pool == &standard || (created.count(pool) > 0 && !pool->destroyed);
  }
};

Pools& pools() {
  static Pools& all = *new Pools;
  return all;
}

void shrink(CUmemPoolHandle_st& pool, std::uint64_t keep) {
  if (keep >= pool.reserved) return;
  const std::uint64_t wanted = rounded_up(std::max(pool.used, keep), kGranularity);
  const std::uint64_t target = std::min(pool.reserved, wanted);
  DeviceBytes::instance().let_go(pool.reserved - target);
  pool.reserved = target;
}

bool take(CUmemPoolHandle_st& pool, std::size_t bytes) {
  if (bytes > DeviceBytes::instance().total()) return false;
  const std::uint64_t used = pool.used + rounded_up(bytes, kPoolUnit);
  if (pool.most > 0 && used > pool.most) return false;
  if (used > pool.reserved) {
    const std::uint64_t reserved = rounded_up(used, kGranularity);
    if (!DeviceBytes::instance().hold(reserved - pool.reserved)) return false;
    pool.reserved = reserved;
  }
  pool.used = used;
  pool.most_used = std::max(pool.most_used, pool.used);
  pool.most_reserved = std::max(pool.most_reserved, pool.reserved);
  return true;
}

void delete_if_unused(cudaMemPool_t pool) {
  if (!pool->destroyed || pool->used > 0) return;
  shrink(*pool, 0);
  pools().created.erase(pool);
  delete pool;
}

cudaError_t allocate(void** out, std::size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  if (stream != nullptr && !find_stream(stream)) return cudaErrorInvalidResourceHandle;
  if (bytes == 0) return *out = nullptr, cudaSuccess;
  {
    const std::lock_guard lock(pools().mutex);
    if (pool == nullptr) pool = pools().current;
    if (!pools().has(pool)) return cudaErrorInvalidValue;
    if (!take(*pool, bytes)) return cudaErrorMemoryAllocation;
  }
  const auto made = Allocations::instance().make(bytes, MemoryKind::kPool, pool);
  if (!made) return return_to_pool(pool, bytes), cudaErrorMemoryAllocation;
  return *out = made->address, cudaSuccess;
}

std::uint64_t* attribute(CUmemPoolHandle_st& pool, cudaMemPoolAttr name) {
  switch (name) {
    case cudaMemPoolAttrReleaseThreshold:
      return &pool.threshold;
    case cudaMemPoolAttrReservedMemCurrent:
      return &pool.reserved;
    case cudaMemPoolAttrReservedMemHigh:
      return &pool.most_reserved;
    case cudaMemPoolAttrUsedMemCurrent:
      return &pool.used;
    case cudaMemPoolAttrUsedMemHigh:
      return &pool.most_used;
    default:
      return nullptr;
  }
}

}  // namespace

void return_to_pool(cudaMemPool_t pool, std::size_t bytes) {
  const std::lock_guard lock(pools().mutex);
  pool->used -= rounded_up(bytes, kPoolUnit);
  delete_if_unused(pool);
}

void release_unused_pool_memory() {
  const std::lock_guard lock(pools().mutex);
  shrink(pools().standard, pools().standard.threshold);
  for (const cudaMemPool_t pool : pools().created) shrink(*pool, pool->threshold);
}

std::size_t pool_count() {
  const std::lock_guard lock(pools().mutex);
  return pools().created.size();
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaMallocAsync(void** devPtr, size_t size, cudaStream_t hStream) {
  return runtime_call("cudaMallocAsync", [&] { return allocate(devPtr, size, nullptr, hStream); });
}

cudaError_t cudaMallocFromPoolAsync(void** ptr, size_t size, cudaMemPool_t memPool,
                                    cudaStream_t stream) {
  return runtime_call("cudaMallocFromPoolAsync", [&] {
    if (memPool == nullptr) return cudaErrorInvalidValue;
    return allocate(ptr, size, memPool, stream);
  });
}

cudaError_t cudaFreeAsync(void* devPtr, cudaStream_t hStream) {
  return release_call([&] {
    if (devPtr == nullptr) return cudaSuccess;
    if (hStream != nullptr && !find_stream(hStream)) return cudaErrorInvalidResourceHandle;
    const auto holding = Allocations::instance().holding(devPtr);
    if (!holding || holding->kind == MemoryKind::kPinned) return cudaErrorInvalidValue;
    const auto freed = Allocations::instance().start_free(devPtr);
    if (!freed) return cudaErrorInvalidValue;
    // At once: what is queued behind this free in its stream may have the bytes already.
    if (freed->kind == MemoryKind::kPool) {
      return_to_pool(freed->pool, freed->bytes);
    } else {
      DeviceBytes::instance().let_go_allocation(freed->bytes);
    }
    return submit(hStream, [gone = *freed] { Allocations::instance().finish_free(gone); });
  });
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* memPool, const struct cudaMemPoolProps* poolProps) {
  return runtime_call("cudaMemPoolCreate", [&] {
    const cudaMemLocation where = poolProps->location;
    if (poolProps->allocType != cudaMemAllocationTypePinned) return cudaErrorInvalidValue;
    if (where.type != cudaMemLocationTypeDevice || where.id != 0) return cudaErrorInvalidValue;
    *memPool = new CUmemPoolHandle_st{poolProps->maxSize};
    const std::lock_guard lock(pools().mutex);
    pools().created.insert(*memPool);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t memPool) {
  return release_call([&] {
    const std::lock_guard lock(pools().mutex);
    if (memPool == &pools().standard || !pools().has(memPool)) return cudaErrorInvalidValue;
    memPool->destroyed = true;
    if (pools().current == memPool) pools().current = &pools().standard;
    delete_if_unused(memPool);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t memPool, enum cudaMemPoolAttr attr, void* value) {
  return runtime_call("cudaMemPoolSetAttribute", [&] {
    const std::lock_guard lock(pools().mutex);
    if (!pools().has(memPool)) return cudaErrorInvalidValue;
    // How memory is used again makes no difference here.
    if (attr < cudaMemPoolAttrReleaseThreshold) return cudaSuccess;
    if (attr != cudaMemPoolAttrReleaseThreshold) return cudaErrorInvalidValue;
    memPool->threshold = *static_cast<std::uint64_t*>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t memPool, enum cudaMemPoolAttr attr, void* value) {
  return runtime_call("cudaMemPoolGetAttribute", [&] {
    const std::lock_guard lock(pools().mutex);
    if (!pools().has(memPool)) return cudaErrorInvalidValue;
    const std::uint64_t* found = attribute(*memPool, attr);
    if (found == nullptr) return cudaErrorInvalidValue;
    *static_cast<std::uint64_t*>(value) = *found;
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

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* memPool, int device) {
  return runtime_call("cudaDeviceGetDefaultMemPool", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    return *memPool = &pools().standard, cudaSuccess;
  });
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t* memPool, int device) {
  return runtime_call("cudaDeviceGetMemPool", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    const std::lock_guard lock(pools().mutex);
    return *memPool = pools().current, cudaSuccess;
  });
}

cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t memPool) {
  return runtime_call("cudaDeviceSetMemPool", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    const std::lock_guard lock(pools().mutex);
    if (!pools().has(memPool)) return cudaErrorInvalidValue;
    return pools().current = memPool, cudaSuccess;
  });
}

}  // extern "C"
