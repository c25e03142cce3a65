#include "memory.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include "state.hpp"
#include "virtual_memory.hpp"

namespace emulated {
namespace {

constexpr std::size_t kLarge = std::size_t{1} << 20;
constexpr std::size_t kSmallUnit = 512;
constexpr std::size_t kAlignment = 256;

std::size_t slabs(std::size_t small) { return rounded_up(small, kGranularity); }

std::uintptr_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

}  // namespace

DeviceBytes& DeviceBytes::of(int device) {
  static auto& all = *new std::array<DeviceBytes, kMostDevices>;
  return all.at(static_cast<std::size_t>(device));
}

std::size_t DeviceBytes::total() const {
  return environment_number("KVPROF_EMULATED_DEVICE_BYTES", std::uint64_t{2} << 30);
}

std::size_t DeviceBytes::held() {
  const std::lock_guard lock(mutex_);
  return held_;
}

bool DeviceBytes::grow(std::size_t bytes) {
  const std::size_t limit = total();
  if (bytes > limit || held_ > limit - bytes) return false;
  held_ += bytes;
  return true;
}

bool DeviceBytes::hold(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  return grow(bytes);
}

void DeviceBytes::let_go(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  held_ -= bytes;
}

bool DeviceBytes::hold_allocation(std::size_t bytes) {
  if (bytes > total()) return false;  // before rounding, which could overflow
  const std::lock_guard lock(mutex_);
  if (bytes >= kLarge) return grow(rounded_up(bytes, kGranularity));
  const std::size_t small = small_ + rounded_up(bytes, kSmallUnit);
  if (!grow(slabs(small) - slabs(small_))) return false;
  small_ = small;
  return true;
}

void DeviceBytes::let_go_allocation(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes >= kLarge) {
    held_ -= rounded_up(bytes, kGranularity);
    return;
  }
  const std::size_t small = small_ - rounded_up(bytes, kSmallUnit);
  held_ -= slabs(small_) - slabs(small);
  small_ = small;
}

Allocations& Allocations::instance() {
  static Allocations& allocations = *new Allocations;
  return allocations;
}

std::optional<Allocation> Allocations::make(std::size_t bytes, MemoryKind kind, int device,
                                            cudaMemPool_t pool) {
  void* address = nullptr;
  // The exact size, so that AddressSanitizer sees the first byte too many.
  if (posix_memalign(&address, kAlignment, bytes) != 0) return std::nullopt;
  // Fresh memory of the host is often zero, that of a device is not.
  std::memset(address, 0xcd, std::min<std::size_t>(bytes, 65536));
  const Allocation allocation{static_cast<std::byte*>(address), bytes, kind, device, pool};
  const std::lock_guard lock(mutex_);
  by_address_.emplace(number(address), allocation);
  return allocation;
}

std::optional<Allocation> Allocations::start_free(const void* address, MemoryKind kind) {
  const std::lock_guard lock(mutex_);
  const auto found = by_address_.find(number(address));
  if (found == by_address_.end() || found->second.being_freed) return std::nullopt;
  if (found->second.kind != kind) return std::nullopt;
  found->second.being_freed = true;
  return found->second;
}

void Allocations::finish_free(const Allocation& allocation) {
  {
    const std::lock_guard lock(mutex_);
    by_address_.erase(number(allocation.address));
  }
  std::free(allocation.address);
}

const Allocation* Allocations::find(const void* address) const {
  auto after = by_address_.upper_bound(number(address));
  if (after == by_address_.begin()) return nullptr;
  const Allocation& candidate = std::prev(after)->second;
  return number(address) - number(candidate.address) < candidate.bytes ? &candidate : nullptr;
}

Place Allocations::place_of(const void* address, std::size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    if (const Allocation* found = find(address)) {
      const std::size_t offset = number(address) - number(found->address);
      if (found->being_freed || bytes > found->bytes - offset) return Place::kInvalid;
      return found->kind == MemoryKind::kPinned ? Place::kPinned : Place::kDevice;
    }
  }
  return VirtualMemory::instance().place_of(address, bytes);
}

std::size_t Allocations::count() {
  const std::lock_guard lock(mutex_);
  return by_address_.size();
}

}  // namespace emulated
