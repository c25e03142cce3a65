// The operations of kernels, on the runner of the calling thread.
#include <cuda_runtime.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "block.hpp"

using emulated::BlockRunner;

namespace {

// A read-modify-write and not a fence, which ThreadSanitizer does not know.
void fence() {
  static std::atomic<unsigned> all{0};
  all.fetch_add(0, std::memory_order_seq_cst);
}

}  // namespace

void __syncthreads() { BlockRunner::current().synchronize(); }

void __syncwarp(unsigned mask) { BlockRunner::current().exchange(mask, 0, 0); }

void __threadfence_block() { fence(); }

void __threadfence() { fence(); }

void __threadfence_system() { fence(); }

void __nanosleep(unsigned ns) {
  if (BlockRunner::current().yield()) return;
  // What it waits for may be on the host, which may need this CPU.
  std::this_thread::sleep_for(std::chrono::nanoseconds(std::min(ns, 50'000u)));
}

void __trap() { BlockRunner::current().fail(cudaErrorLaunchFailure, "a thread called __trap"); }

long long clock64() {
  return static_cast<long long>(emulated::global_timer_ns() / 100 * 198);  // 1.98 GHz
}

unsigned __ballot_sync(unsigned mask, int predicate) {
  return BlockRunner::current().ballot(mask, predicate != 0);
}

namespace emulated {

std::uint64_t exchange(unsigned mask, std::uint64_t value, int lane) {
  return BlockRunner::current().exchange(mask, value, lane);
}

int lane_id() { return BlockRunner::current().lane(); }

std::byte* shared_memory() { return BlockRunner::current().shared(); }

std::uint64_t global_timer_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count());
}

unsigned sm_id() {
  constexpr unsigned kMultiprocessors = 2;
  return blockIdx.x % kMultiprocessors;
}

}  // namespace emulated
