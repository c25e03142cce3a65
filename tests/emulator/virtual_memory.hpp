// The driver's virtual memory management: address ranges, memory handles, and maps between them.
#pragma once
#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>

#include "memory.hpp"

namespace emulated {

/// All handles are parts of one file in memory, so that bytes stay with their handle.
class VirtualMemory {
 public:
  static VirtualMemory& instance();

  CUresult reserve(CUdeviceptr* address, std::size_t bytes, std::size_t alignment);
  CUresult free(CUdeviceptr address, std::size_t bytes);
  CUresult create(CUmemGenericAllocationHandle* handle, std::size_t bytes, int device);
  CUresult release(CUmemGenericAllocationHandle handle);
  CUresult map(CUdeviceptr address, std::size_t bytes, CUmemGenericAllocationHandle handle);
  CUresult unmap(CUdeviceptr address, std::size_t bytes);
  /// To read and write, by the device that the memory is of: none can reach another's.
  CUresult set_access(CUdeviceptr address, std::size_t bytes, int device);

  /// kDevice where the whole range is mapped and may be read and written.
  Place place_of(const void* address, std::size_t bytes);
  /// Handles, mapped ones included, and reserved ranges.
  std::size_t count();

 private:
  struct Handle {
    std::size_t bytes;
    std::size_t offset;
    int device;
    std::size_t maps = 0;
    bool released = false;
  };
  struct Map {
    std::size_t bytes;
    CUmemGenericAllocationHandle handle;
    bool accessible = false;
  };

  VirtualMemory();
  std::map<CUdeviceptr, std::size_t>::const_iterator reservation_of(CUdeviceptr address) const;
  bool is_reserved(CUdeviceptr address, std::size_t bytes) const;
  /// Whether maps cover the range from end to end; exactly: none reaches beyond it.
  bool is_mapped(CUdeviceptr address, std::size_t bytes, bool exactly, bool accessible) const;
  void drop_if_unused(CUmemGenericAllocationHandle handle);

  std::mutex mutex_;
  int file_;
  std::size_t file_bytes_ = 0;
  CUmemGenericAllocationHandle next_handle_ = 1;
  std::map<CUdeviceptr, std::size_t> reservations_;
  std::map<CUmemGenericAllocationHandle, Handle> handles_;
  std::map<CUdeviceptr, Map> maps_;
};

}  // namespace emulated
