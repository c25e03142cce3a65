#include "streams.hpp"

#include <map>
#include <vector>

#include "events.hpp"
#include "pools.hpp"
#include "state.hpp"

namespace emulated {
namespace {

constexpr std::uint64_t kQueueLimit = 1000;

struct Streams {
  std::mutex mutex;
  std::map<cudaStream_t, std::shared_ptr<CUstream_st>> live;
};

Streams& streams() {
  static Streams& all = *new Streams;
  return all;
}

std::vector<std::shared_ptr<CUstream_st>> live_streams() {
  Streams& all = streams();
  const std::lock_guard lock(all.mutex);
  std::vector<std::shared_ptr<CUstream_st>> found;
  for (const auto& entry : all.live) found.push_back(entry.second);
  return found;
}

cudaError_t create(cudaStream_t* handle, unsigned flags) {
  // The null stream, which others could wait for, is not served.
  if (flags != cudaStreamNonBlocking) return cudaErrorNotSupported;
  auto stream = std::make_shared<CUstream_st>(current_device());
  stream->start();
  Streams& all = streams();
  const std::lock_guard lock(all.mutex);
  *handle = stream.get();
  all.live.emplace(*handle, std::move(stream));
  return cudaSuccess;
}

}  // namespace

std::shared_ptr<CUstream_st> find_stream(cudaStream_t handle) {
  Streams& all = streams();
  const std::lock_guard lock(all.mutex);
  const auto found = all.live.find(handle);
  return found == all.live.end() ? nullptr : found->second;
}

cudaError_t submit(cudaStream_t handle, std::function<void()> work) {
  const std::shared_ptr<CUstream_st> stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  stream->enqueue(std::move(work));
  return cudaSuccess;
}

cudaError_t wait_for(cudaStream_t handle) {
  const std::shared_ptr<CUstream_st> stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  stream->wait();
  return cudaSuccess;
}

void wait_for_device(int device) {
  for (const auto& stream : live_streams()) {
    if (stream->device() == device) stream->wait();
  }
}

std::size_t stream_count() { return live_streams().size(); }

}  // namespace emulated

void CUstream_st::start() {
  // The thread keeps the queue alive: a stream can be destroyed with work in it.
  thread_ = std::thread([self = shared_from_this()] { self->run(); });
}

void CUstream_st::enqueue(std::function<void()> work) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return queued_ - done_ < emulated::kQueueLimit; });
  queue_.push_back(std::move(work));
  ++queued_;
  changed_.notify_all();
}

void CUstream_st::wait() {
  std::unique_lock lock(mutex_);
  const std::uint64_t target = queued_;
  changed_.wait(lock, [&] { return done_ >= target; });
}

void CUstream_st::finish() {
  bool idle;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    idle = done_ == queued_;
    changed_.notify_all();
  }
  if (idle) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

void CUstream_st::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::function<void()> work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
    ++done_;
    changed_.notify_all();
  }
}

using namespace emulated;

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* pStream, unsigned int flags) {
  return runtime_call("cudaStreamCreate", [&] { return create(pStream, flags); });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return release_call([&] {
    const std::shared_ptr<CUstream_st> found = find_stream(stream);
    if (!found) return cudaErrorInvalidResourceHandle;
    {
      const std::lock_guard lock(streams().mutex);
      streams().live.erase(stream);
    }
    found->finish();
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const cudaError_t error = runtime_call("cudaStreamSynchronize", [&] { return wait_for(stream); });
  release_unused_pool_memory();
  return error ? error : remembered(device_error());
}

cudaError_t cudaDeviceSynchronize(void) {
  const cudaError_t error = runtime_call("cudaDeviceSynchronize", [] {
    wait_for_device(current_device());
    return cudaSuccess;
  });
  release_unused_pool_memory();
  return error ? error : remembered(device_error());
}

size_t kvprof_emulated_live_handles(void) { return stream_count() + event_count() + pool_count(); }

}  // extern "C"
