// Streams run on their own: order, events, full queues, hosts that wait.
#include <atomic>
#include <chrono>
#include <thread>

#include "check.hpp"

namespace {

__global__ void wait_for_host(const unsigned* gate) {
  while (threadIdx.x == 0 && emulated::load_volatile(gate) == 0) __nanosleep(1000);
}

__global__ void add_one(unsigned* value) { *value += 1; }

template <typename... Parameters, typename... Arguments>
void enqueue(cudaStream_t stream, void (*kernel)(Parameters...), Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.blockDim = 1;
  config.stream = stream;
  CHECK_OK(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
}

struct Pinned {
  unsigned* gate = nullptr;
  unsigned* value = nullptr;
  Pinned() {
    CHECK_OK(cudaMallocHost(&gate, sizeof(unsigned)));
    CHECK_OK(cudaHostAlloc(&value, sizeof(unsigned), cudaHostAllocMapped));
    *gate = *value = 0;
    void* device = nullptr;
    CHECK_OK(cudaHostGetDevicePointer(&device, value, 0));
    CHECK(device == value);
  }
  ~Pinned() {
    CHECK_OK(cudaFreeHost(gate));
    CHECK_OK(cudaFreeHost(value));
  }
};

void check_gate(cudaStream_t stream) {
  const Pinned memory;
  cudaEvent_t before = nullptr;
  cudaEvent_t after = nullptr;
  cudaStream_t other = nullptr;
  CHECK_OK(cudaEventCreate(&before));
  CHECK_OK(cudaEventCreate(&after));
  CHECK_OK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  CHECK_OK(cudaEventRecord(before, stream));
  enqueue(stream, wait_for_host, memory.gate);
  enqueue(stream, add_one, memory.value);
  CHECK_OK(cudaEventRecord(after, stream));
  CHECK_OK(cudaStreamWaitEvent(other, after));
  enqueue(other, add_one, memory.value);
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(cudaEventQuery(after) == cudaErrorNotReady);
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
  CHECK(cudaStreamQuery(other) == cudaErrorNotReady);
  float ms = 0;
  CHECK(cudaEventElapsedTime(&ms, before, after) == cudaErrorNotReady);
  emulated::store_volatile(memory.gate, 1u);
  CHECK_OK(cudaEventSynchronize(after));
  CHECK_OK(cudaEventElapsedTime(&ms, before, after));
  CHECK(ms >= 15 && ms < 10000);
  CHECK_OK(cudaStreamSynchronize(other));
  CHECK_OK(cudaStreamQuery(other));
  CHECK(*memory.value == 2);
  CHECK_OK(cudaStreamDestroy(other));
  CHECK(cudaStreamSynchronize(other) == cudaErrorInvalidResourceHandle);
  CHECK_OK(cudaEventDestroy(before));
  CHECK_OK(cudaEventDestroy(after));
}

void check_full_queue(cudaStream_t stream) {
  const Pinned memory;
  std::atomic<unsigned> queued{0};
  enqueue(stream, wait_for_host, memory.gate);
  std::thread host([&] {
    for (unsigned i = 0; i < 1500; ++i, ++queued) enqueue(stream, add_one, memory.value);
  });
  while (queued < 999) std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(queued == 999);
  emulated::store_volatile(memory.gate, 1u);
  host.join();
  CHECK_OK(cudaStreamSynchronize(stream));
  CHECK(*memory.value == 1500);
}

void check_host_function(cudaStream_t stream) {
  int calls = 0;
  CHECK_OK(cudaLaunchHostFunc(stream, [](void* count) { ++*static_cast<int*>(count); }, &calls));
  CHECK_OK(cudaDeviceSynchronize());
  CHECK(calls == 1);
}

/// A destroyed stream still does what is in it.
void check_early_destroy() {
  const Pinned memory;
  cudaStream_t stream = nullptr;
  cudaEvent_t done = nullptr;
  CHECK_OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK_OK(cudaEventCreateWithFlags(&done, cudaEventDisableTiming));
  enqueue(stream, wait_for_host, memory.gate);
  enqueue(stream, add_one, memory.value);
  CHECK_OK(cudaEventRecord(done, stream));
  CHECK_OK(cudaStreamDestroy(stream));
  emulated::store_volatile(memory.gate, 1u);
  CHECK_OK(cudaEventSynchronize(done));
  CHECK(*memory.value == 1);
  CHECK_OK(cudaEventDestroy(done));
}

}  // namespace

void check_streams(cudaStream_t stream) {
  check_gate(stream);
  check_full_queue(stream);
  check_host_function(stream);
  check_early_destroy();
}
