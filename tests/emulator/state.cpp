#include "state.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

namespace emulated {
namespace {

std::atomic<cudaError_t> device_error_{cudaSuccess};
thread_local cudaError_t last_error_ = cudaSuccess;

struct CallCounts {
  std::mutex mutex;
  std::string requested;
  std::map<std::string, std::uint64_t> calls;
};

// Never destroyed: streams may still run when the process ends.
CallCounts& call_counts() {
  static CallCounts& counts = *new CallCounts;
  return counts;
}

bool is_requested(const std::string& request, const std::string& name, std::uint64_t call) {
  const std::string wanted = name + ":" + std::to_string(call);
  for (std::size_t begin = 0; begin < request.size();) {
    const std::size_t end = std::min(request.find(',', begin), request.size());
    if (request.compare(begin, end - begin, wanted) == 0) return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

cudaError_t device_error() { return device_error_; }

void set_device_error(cudaError_t error, const std::string& why) {
  std::fprintf(stderr, "CUDA emulator: %s: %s\n", cudaGetErrorName(error), why.c_str());
  cudaError_t none = cudaSuccess;
  device_error_.compare_exchange_strong(none, error);
}

cudaError_t obstacle() {
  if (const cudaError_t error = device_error_) return error;
  int count = 0;
  return cudaGetDeviceCount(&count);
}

cudaError_t remembered(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error_ = error;
  return error;
}

bool must_fail(const char* function) {
  const char* request = std::getenv("KVPROF_EMULATED_FAIL_AT");
  if (request == nullptr) return false;
  CallCounts& counts = call_counts();
  const std::lock_guard lock(counts.mutex);
  if (counts.requested != request) {
    counts.requested = request;
    counts.calls.clear();
  }
  return is_requested(counts.requested, function, ++counts.calls[function]);
}

std::uint64_t environment_number(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::strtoull(text, nullptr, 10);
}

}  // namespace emulated

extern "C" {

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define KVPROF_EMULATED_CASE(name, value, text) \
  case name:                                    \
    return #name;
    KVPROF_EMULATED_ERRORS(KVPROF_EMULATED_CASE)
#undef KVPROF_EMULATED_CASE
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define KVPROF_EMULATED_CASE(name, value, text) \
  case name:                                    \
    return text;
    KVPROF_EMULATED_ERRORS(KVPROF_EMULATED_CASE)
#undef KVPROF_EMULATED_CASE
  }
  return "unrecognized error code";
}

cudaError_t cudaGetLastError(void) {
  const cudaError_t device = emulated::device_error();
  const cudaError_t error = device ? device : emulated::last_error_;
  emulated::last_error_ = cudaSuccess;
  return error;
}

void kvprof_emulated_clear_error(void) { emulated::device_error_ = cudaSuccess; }

}  // extern "C"
