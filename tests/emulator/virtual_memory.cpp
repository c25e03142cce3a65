#include "virtual_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

namespace emulated {
namespace {

constexpr int kUnused = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

void* pointer(CUdeviceptr address) { return reinterpret_cast<void*>(address); }

bool is_aligned(std::size_t value) { return value % kGranularity == 0; }

}  // namespace

VirtualMemory& VirtualMemory::instance() {
  static VirtualMemory& memory = *new VirtualMemory;
  return memory;
}

VirtualMemory::VirtualMemory() : file_(memfd_create("kvprof emulated device", MFD_CLOEXEC)) {}

CUresult VirtualMemory::reserve(CUdeviceptr* address, std::size_t bytes, std::size_t alignment) {
  const bool power_of_two = (alignment & (alignment - 1)) == 0;
  if (bytes == 0 || !is_aligned(bytes) || !power_of_two) return CUDA_ERROR_INVALID_VALUE;
  const std::size_t unit = alignment > kGranularity ? alignment : kGranularity;
  void* base = mmap(nullptr, bytes + unit, PROT_NONE, kUnused, -1, 0);
  if (base == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUdeviceptr first = reinterpret_cast<CUdeviceptr>(base);
  const CUdeviceptr start = rounded_up(first, unit);
  if (start > first) munmap(base, start - first);
  munmap(pointer(start + bytes), first + unit - start);
  const std::lock_guard lock(mutex_);
  reservations_[start] = bytes;
  *address = start;
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::free(CUdeviceptr address, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto found = reservations_.find(address);
  if (found == reservations_.end() || found->second != bytes) return CUDA_ERROR_INVALID_VALUE;
  const auto map = maps_.lower_bound(address);
  if (map != maps_.end() && map->first < address + bytes) return CUDA_ERROR_INVALID_VALUE;
  reservations_.erase(found);
  munmap(pointer(address), bytes);
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::create(CUmemGenericAllocationHandle* handle, std::size_t bytes,
                               int device) {
  if (bytes == 0 || !is_aligned(bytes)) return CUDA_ERROR_INVALID_VALUE;
  if (!DeviceBytes::of(device).hold(bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  const std::lock_guard lock(mutex_);
  if (ftruncate(file_, static_cast<off_t>(file_bytes_ + bytes)) != 0) {
    DeviceBytes::of(device).let_go(bytes);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  handles_[next_handle_] = {bytes, file_bytes_, device};
  file_bytes_ += bytes;
  *handle = next_handle_++;
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::release(CUmemGenericAllocationHandle handle) {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(handle);
  if (found == handles_.end() || found->second.released) return CUDA_ERROR_INVALID_VALUE;
  found->second.released = true;
  drop_if_unused(handle);
  return CUDA_SUCCESS;
}

void VirtualMemory::drop_if_unused(CUmemGenericAllocationHandle handle) {
  const Handle& entry = handles_.at(handle);
  if (!entry.released || entry.maps > 0) return;
  // The offsets are never used again, the memory behind them is.
  fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(entry.offset),
            static_cast<off_t>(entry.bytes));
  DeviceBytes::of(entry.device).let_go(entry.bytes);
  handles_.erase(handle);
}

CUresult VirtualMemory::map(CUdeviceptr address, std::size_t bytes,
                            CUmemGenericAllocationHandle handle) {
  const std::lock_guard lock(mutex_);
  const auto found = handles_.find(handle);
  if (found == handles_.end() || found->second.released) return CUDA_ERROR_INVALID_VALUE;
  if (found->second.bytes != bytes || !is_aligned(address)) return CUDA_ERROR_INVALID_VALUE;
  if (!is_reserved(address, bytes)) return CUDA_ERROR_INVALID_VALUE;
  const auto after = maps_.lower_bound(address);
  if (after != maps_.end() && after->first < address + bytes) return CUDA_ERROR_INVALID_VALUE;
  if (after != maps_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second.bytes > address) return CUDA_ERROR_INVALID_VALUE;
  }
  void* made = mmap(pointer(address), bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, file_,
                    static_cast<off_t>(found->second.offset));
  if (made == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  ++found->second.maps;
  maps_[address] = {bytes, handle};
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::unmap(CUdeviceptr address, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!is_mapped(address, bytes, true, false)) return CUDA_ERROR_INVALID_VALUE;
  mmap(pointer(address), bytes, PROT_NONE, kUnused | MAP_FIXED, -1, 0);
  for (auto map = maps_.find(address); map != maps_.end() && map->first < address + bytes;) {
    const CUmemGenericAllocationHandle handle = map->second.handle;
    map = maps_.erase(map);
    --handles_.at(handle).maps;
    drop_if_unused(handle);
  }
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::set_access(CUdeviceptr address, std::size_t bytes, int device) {
  const std::lock_guard lock(mutex_);
  if (!is_mapped(address, bytes, true, false)) return CUDA_ERROR_INVALID_VALUE;
  const auto first = maps_.find(address);
  const auto end = maps_.lower_bound(address + bytes);
  for (auto map = first; map != end; ++map) {
    if (handles_.at(map->second.handle).device != device) return CUDA_ERROR_INVALID_DEVICE;
  }
  if (mprotect(pointer(address), bytes, PROT_READ | PROT_WRITE) != 0) return CUDA_ERROR_UNKNOWN;
  for (auto map = first; map != end; ++map) map->second.accessible = true;
  return CUDA_SUCCESS;
}

std::map<CUdeviceptr, std::size_t>::const_iterator VirtualMemory::reservation_of(
    CUdeviceptr address) const {
  const auto after = reservations_.upper_bound(address);
  if (after == reservations_.begin()) return reservations_.end();
  const auto found = std::prev(after);
  return address - found->first < found->second ? found : reservations_.end();
}

bool VirtualMemory::is_reserved(CUdeviceptr address, std::size_t bytes) const {
  const auto found = reservation_of(address);
  return found != reservations_.end() && bytes <= found->second - (address - found->first);
}

bool VirtualMemory::is_mapped(CUdeviceptr address, std::size_t bytes, bool exactly,
                              bool accessible) const {
  auto map = maps_.upper_bound(address);
  if (map == maps_.begin()) return false;
  --map;
  if (exactly && map->first != address) return false;
  const CUdeviceptr end = address + bytes;
  for (CUdeviceptr at = address; at < end; ++map) {
    if (map == maps_.end() || map->first > at || map->first + map->second.bytes <= at) return false;
    if (accessible && !map->second.accessible) return false;
    at = map->first + map->second.bytes;
    if (exactly && at > end) return false;
  }
  return true;
}

Place VirtualMemory::place_of(const void* address, std::size_t bytes) {
  const CUdeviceptr first = reinterpret_cast<CUdeviceptr>(address);
  const std::lock_guard lock(mutex_);
  if (reservation_of(first) == reservations_.end()) return Place::kElsewhere;
  return is_mapped(first, bytes, false, true) ? Place::kDevice : Place::kInvalid;
}

std::size_t VirtualMemory::count() {
  const std::lock_guard lock(mutex_);
  return handles_.size() + reservations_.size();
}

}  // namespace emulated
