#include "events.hpp"

#include <cuda_runtime.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>

#include "pools.hpp"
#include "state.hpp"
#include "streams.hpp"

namespace emulated {
namespace {

using Clock = std::chrono::steady_clock;

/// One record. A wait that was queued for it stays with it when the event is recorded again.
class Moment {
 public:
  void pass() {
    const std::lock_guard lock(mutex_);
    time_ = Clock::now();
    passed_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return passed_; });
  }
  bool has_passed() {
    const std::lock_guard lock(mutex_);
    return passed_;
  }
  Clock::time_point time() {
    const std::lock_guard lock(mutex_);
    return time_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool passed_ = false;
  Clock::time_point time_;
};

}  // namespace
}  // namespace emulated

struct CUevent_st {
  unsigned flags;
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

struct Found {
  bool exists = false;
  bool timed = false;
  std::shared_ptr<Moment> last;
};

Found find_event(cudaEvent_t handle) {
  Events& all = events();
  const std::lock_guard lock(all.mutex);
  if (all.live.count(handle) == 0) return {};
  return {true, (handle->flags & cudaEventDisableTiming) == 0, handle->last};
}

cudaError_t record(cudaEvent_t handle, cudaStream_t stream) {
  auto moment = std::make_shared<Moment>();
  {
    Events& all = events();
    const std::lock_guard lock(all.mutex);
    if (all.live.count(handle) == 0) return cudaErrorInvalidResourceHandle;
    handle->last = moment;
  }
  return submit(stream, [moment] { moment->pass(); });
}

cudaError_t elapsed(float* ms, cudaEvent_t start, cudaEvent_t end) {
  const Found from = find_event(start);
  const Found to = find_event(end);
  for (const Found* event : {&from, &to}) {
    if (!event->timed || !event->last) return cudaErrorInvalidResourceHandle;
  }
  if (!from.last->has_passed() || !to.last->has_passed()) return cudaErrorNotReady;
  const auto passed = to.last->time() - from.last->time();
  *ms = std::chrono::duration<float, std::milli>(passed).count();
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

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  return runtime_call("cudaEventCreate", [&] {
    *event = new CUevent_st{flags};
    const std::lock_guard lock(events().mutex);
    events().live.insert(*event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
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

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return runtime_call("cudaEventQuery", [&] {
    const Found found = find_event(event);
    if (!found.exists) return cudaErrorInvalidResourceHandle;
    return !found.last || found.last->has_passed() ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const cudaError_t error = runtime_call("cudaEventSynchronize", [&] {
    const Found found = find_event(event);
    if (!found.exists) return cudaErrorInvalidResourceHandle;
    if (found.last) found.last->wait();
    return cudaSuccess;
  });
  release_unused_pool_memory();
  return error ? error : remembered(device_error());
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  return runtime_call("cudaEventElapsedTime", [&] { return elapsed(ms, start, end); });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  return runtime_call("cudaStreamWaitEvent", [&] {
    const Found found = find_event(event);
    if (!found.exists) return cudaErrorInvalidResourceHandle;
    if (!found.last) return cudaSuccess;
    return submit(stream, [moment = found.last] { moment->wait(); });
  });
}

}  // extern "C"
