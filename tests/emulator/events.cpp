#include "events.hpp"

#include <cuda_runtime.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "state.hpp"
#include "streams.hpp"

namespace emulated {
namespace {

using Clock = std::chrono::steady_clock;

/// One record. It stays with its stream when the event is recorded again or destroyed.
class Moment {
 public:
  void pass() {
    const std::lock_guard lock(mutex_);
    time_ = Clock::now();
  }
  /// None before the stream has come to it.
  std::optional<Clock::time_point> time() {
    const std::lock_guard lock(mutex_);
    return time_;
  }

 private:
  std::mutex mutex_;
  std::optional<Clock::time_point> time_;
};

}  // namespace
}  // namespace emulated

struct CUevent_st {
  const int device;
  std::shared_ptr<emulated::Moment> last = nullptr;  ///< none before the first record
};

namespace emulated {
namespace {

struct Events {
  std::mutex mutex;
  std::set<cudaEvent_t> live;
};

Events& events() {
  static Events& all = *new Events;
  return all;
}

cudaError_t record(cudaEvent_t event, cudaStream_t handle) {
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  auto moment = std::make_shared<Moment>();
  {
    const std::lock_guard lock(events().mutex);
    if (events().live.count(event) == 0) return cudaErrorInvalidResourceHandle;
    if (event->device != stream->device()) return cudaErrorInvalidResourceHandle;
    event->last = moment;
  }
  stream->enqueue([moment] { moment->pass(); });
  return cudaSuccess;
}

cudaError_t elapsed(float* ms, cudaEvent_t start, cudaEvent_t end) {
  const std::lock_guard lock(events().mutex);
  for (const cudaEvent_t event : {start, end}) {
    if (events().live.count(event) == 0 || !event->last) return cudaErrorInvalidResourceHandle;
  }
  if (start->device != end->device) return cudaErrorInvalidResourceHandle;
  const auto from = start->last->time();
  const auto to = end->last->time();
  if (!from || !to) return cudaErrorNotReady;
  *ms = std::chrono::duration<float, std::milli>(*to - *from).count();
  return cudaSuccess;
}

}  // namespace

std::size_t event_count() {
  const std::lock_guard lock(events().mutex);
  return events().live.size();
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return runtime_call("cudaEventCreate", [&] {
    *event = new CUevent_st{current_device()};
    const std::lock_guard lock(events().mutex);
    events().live.insert(*event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return release_call([&] {
    {
      const std::lock_guard lock(events().mutex);
      if (events().live.erase(event) == 0) return cudaErrorInvalidResourceHandle;
    }
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return runtime_call("cudaEventRecord", [&] { return record(event, stream); });
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  return runtime_call("cudaEventElapsedTime", [&] { return elapsed(ms, start, end); });
}

}  // extern "C"
