// Streams run on their own: order, events, full queues, hosts that wait.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "check.hpp"

namespace {

using std::chrono::milliseconds;

__global__ void wait_for_host(const unsigned* gate) {
  while (look(gate) == 0) std::this_thread::yield();
}

__global__ void add_one(unsigned* value) { *value += 1; }
__global__ void tell(unsigned* value) { show(value, 1); }

/// Ends by itself after a while, and says so.
__global__ void hold_back(const unsigned* gate, unsigned* timed_out) {
  const std::uint64_t start = emulated::global_timer_ns();
  while (look(gate) == 0) {
    if (emulated::global_timer_ns() - start > 400'000'000) return show(timed_out, 1);
    std::this_thread::yield();
  }
}

__global__ void is_not_named_before(unsigned* value) { *value += 1; }
__global__ void is_asked_about(unsigned* value) { *value += 1; }

template <typename Kernel>
void prepare(Kernel kernel) {
  cudaFuncAttributes attributes{};
  CHECK_OK(cudaFuncGetAttributes(&attributes, kernel));
  CHECK(attributes.ptxVersion == 90);
}

void check_loading(cudaStream_t stream) {
  CHECK(waits_to_load(stream, is_not_named_before));
  CHECK(!waits_to_load(stream, is_not_named_before));
  prepare(is_asked_about);
  CHECK(!waits_to_load(stream, is_asked_about));
  prepare(wait_for_host);
  prepare(add_one);
  prepare(tell);
}

void check_gate(cudaStream_t stream) {
  const Pinned<unsigned> gate;
  const Pinned<unsigned> value;
  cudaEvent_t before = nullptr;
  cudaEvent_t after = nullptr;
  CHECK_OK(cudaEventCreate(&before));
  CHECK_OK(cudaEventCreate(&after));
  float ms = 0;
  CHECK(cudaEventElapsedTime(&ms, before, after) == cudaErrorInvalidResourceHandle);
  CHECK_OK(cudaEventRecord(before, stream));
  CHECK_OK(enqueue(stream, wait_for_host, gate.get()));
  CHECK_OK(enqueue(stream, add_one, value.get()));
  CHECK_OK(cudaEventRecord(after, stream));
  std::this_thread::sleep_for(milliseconds(20));
  CHECK(cudaEventElapsedTime(&ms, before, after) == cudaErrorNotReady);
  show(gate.get(), 1);
  CHECK_OK(cudaStreamSynchronize(stream));
  CHECK_OK(cudaEventElapsedTime(&ms, before, after));
  CHECK(ms >= 15 && ms < 10000);
  CHECK(*value == 1);
  CHECK_OK(cudaEventDestroy(before));
  CHECK_OK(cudaEventDestroy(after));
  CHECK(cudaEventRecord(after, stream) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
}

void check_full_queue(cudaStream_t stream) {
  const Pinned<unsigned> gate;
  const Pinned<unsigned> value;
  std::atomic<unsigned> queued{0};
  CHECK_OK(enqueue(stream, wait_for_host, gate.get()));
  std::thread host([&] {
    for (unsigned i = 0; i < 1500; ++i, ++queued) CHECK_OK(enqueue(stream, add_one, value.get()));
  });
  while (queued < 999) std::this_thread::yield();
  std::this_thread::sleep_for(milliseconds(20));
  CHECK(queued == 999);
  show(gate.get(), 1);
  host.join();
  CHECK_OK(cudaStreamSynchronize(stream));
  CHECK(*value == 1500);
}

/// A destroyed stream still does what is in it.
void check_early_destroy() {
  const Pinned<unsigned> gate;
  const Pinned<unsigned> value;
  cudaStream_t stream = nullptr;
  CHECK_OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK_OK(enqueue(stream, wait_for_host, gate.get()));
  CHECK_OK(enqueue(stream, tell, value.get()));
  CHECK_OK(cudaStreamDestroy(stream));
  CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
  show(gate.get(), 1);
  while (look(value.get()) == 0) std::this_thread::yield();
}

}  // namespace

bool waits_to_load(cudaStream_t stream, void (*kernel)(unsigned*)) {
  prepare(hold_back);
  const Pinned<unsigned> shared(3);
  CHECK_OK(enqueue(stream, hold_back, shared.get(), shared.get() + 1));
  CHECK_OK(enqueue(stream, kernel, shared.get() + 2));
  const bool waited = look(shared.get() + 1) != 0;
  show(shared.get(), 1);
  CHECK_OK(cudaStreamSynchronize(stream));
  CHECK(shared[2] == 1);
  return waited;
}

void check_streams(cudaStream_t stream) {
  check_loading(stream);
  check_gate(stream);
  check_full_queue(stream);
  check_early_destroy();
  cudaStream_t blocking = nullptr;
  CHECK(cudaStreamCreateWithFlags(&blocking, 0) == cudaErrorNotSupported);
  cudaGetLastError();
}
