// Streams: each a thread that does what is queued in it, in order, as the device does.
#pragma once
#include <cuda_runtime.h>

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

/// The queue of one stream, shared by its handle and its thread.
struct CUstream_st : std::enable_shared_from_this<CUstream_st> {
 public:
  explicit CUstream_st(int device) : device_(device) {}
  int device() const { return device_; }
  void start();

  /// Waits while the queue is full, as the driver does.
  void enqueue(std::function<void()> work);
  /// Waits for what has been queued so far.
  void wait();
  /// Ends the thread once it has done what is queued: at once when it is idle, else later.
  void finish();

 private:
  void run();

  const int device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  std::uint64_t queued_ = 0;
  std::uint64_t done_ = 0;
  bool ending_ = false;
  std::thread thread_;
};

namespace emulated {

/// The stream of a handle; none for an unknown one.
std::shared_ptr<CUstream_st> find_stream(cudaStream_t handle);

/// Queues work in a stream; cudaErrorInvalidResourceHandle for an unknown one.
cudaError_t submit(cudaStream_t handle, std::function<void()> work);

cudaError_t wait_for(cudaStream_t handle);
/// Waits for the streams of a device.
void wait_for_device(int device);
std::size_t stream_count();

}  // namespace emulated
