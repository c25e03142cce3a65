// The memory of the emulated devices: how many bytes are held, and which addresses are live.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace emulated {

constexpr std::size_t kGranularity = std::size_t{2} << 20;

constexpr std::size_t rounded_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

/// Counts the bytes of a device that are held.
class DeviceBytes {
 public:
  static DeviceBytes& of(int device);

  std::size_t total() const;
  std::size_t held();

  /// False, and nothing is held, when the device has less free.
  bool hold(std::size_t bytes);
  void let_go(std::size_t bytes);

  /// The same for an allocation, in the driver's units: 2 MiB, or 512 bytes of a shared 2 MiB slab
  /// where it is less than 1 MiB.
  bool hold_allocation(std::size_t bytes);
  void let_go_allocation(std::size_t bytes);

 private:
  bool grow(std::size_t bytes);
  std::mutex mutex_;
  std::size_t held_ = 0;
  std::size_t small_ = 0;
};

enum class MemoryKind { kDevice, kPool, kPinned };

struct Allocation {
  std::byte* address;
  std::size_t bytes;
  MemoryKind kind;
  int device;  ///< any, where it is pinned
  cudaMemPool_t pool = nullptr;
  bool being_freed = false;  ///< a free is on its way in a stream
};

enum class Place { kElsewhere, kDevice, kPinned, kInvalid };

/// The live allocations by address.
class Allocations {
 public:
  static Allocations& instance();

  /// An allocation, aligned to 256 bytes and not zero; nullopt when the host has no memory.
  std::optional<Allocation> make(std::size_t bytes, MemoryKind kind, int device,
                                 cudaMemPool_t pool = nullptr);
  /// The allocation of that kind that starts there; marks it as being freed, which it must not be.
  std::optional<Allocation> start_free(const void* address, MemoryKind kind);
  void finish_free(const Allocation& allocation);

  /// Where [address, address + bytes) is; kInvalid when only a part of it is in a live allocation.
  Place place_of(const void* address, std::size_t bytes);
  std::size_t count();

 private:
  const Allocation* find(const void* address) const;
  std::mutex mutex_;
  std::map<std::uintptr_t, Allocation> by_address_;
};

}  // namespace emulated
