// One CUDA device as a process uses it: its stream, its memory pool, what it has free.
#pragma once
#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <mutex>

#include "cuda/launch.hpp"
#include "cuda/primary_context.hpp"

namespace kvprof::cuda {

/// Shared by a backend and the memories that it has allocated; the last of them ends it. Whoever
/// uses the device takes a `Turn`.
class DeviceContext {
 public:
  /// Throws std::out_of_range when there is no such device, AllocationError when it has no memory
  /// left for a context, DeviceFault when the driver refuses.
  explicit DeviceContext(int index);
  ~DeviceContext();
  DeviceContext(const DeviceContext&) = delete;
  DeviceContext& operator=(const DeviceContext&) = delete;

  int index() const noexcept { return index_; }
  const PrimaryContext& primary() const noexcept { return primary_; }
  cudaStream_t stream() const noexcept { return stream_; }
  Launch launch() const noexcept { return {stream_, multiprocessors_}; }

  /// The pool of stream-ordered allocations, which keeps what is freed until `free_bytes` asks.
  /// Throws DeviceFault when the device has none.
  cudaMemPool_t pool();

  /// Bytes that nobody holds; what the pool keeps but nobody uses is given back first.
  std::int64_t free_bytes();
  std::int64_t total_bytes() const noexcept { return total_bytes_; }

  /// Waits for all that was queued. Throws DeviceFault when any of it failed.
  void synchronize();

  /// One for all who use the device: a call of one may wait for what another holds back.
  std::mutex& mutex() const noexcept { return mutex_; }

 private:
  int index_;
  std::mutex& mutex_;
  PrimaryContext primary_;
  int multiprocessors_ = 0;
  std::int64_t total_bytes_ = 0;
  cudaStream_t stream_ = nullptr;
  cudaMemPool_t pool_ = nullptr;
};

/// A turn at using a device: its mutex is held, and it is current in this thread.
class Turn {
 public:
  explicit Turn(DeviceContext& context) : lock_(context.mutex()), scope_(context.primary()) {}

 private:
  std::lock_guard<std::mutex> lock_;
  ContextScope scope_;
};

/// Copies bytes to or from the device and waits; either side may be memory of the host.
void copy_now(DeviceContext& context, void* to, const void* from, std::int64_t nbytes);

}  // namespace kvprof::cuda
