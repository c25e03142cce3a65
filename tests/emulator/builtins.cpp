// The operations of kernels, on the runner of the calling thread.
#include <cuda_runtime.h>

#include <chrono>

#include "block.hpp"

using emulated::BlockRunner;

void __syncwarp(unsigned mask) { BlockRunner::current().exchange(mask, 0, 0); }

long long clock64() {
  return static_cast<long long>(emulated::global_timer_ns() / 100 * 198);  // 1.98 GHz
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
