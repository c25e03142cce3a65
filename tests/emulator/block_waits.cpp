// How the threads of a block wait for each other, and what ends a kernel that cannot go on.
#include "block.hpp"

namespace emulated {
namespace {

constexpr std::uint64_t kFruitless = 1000;
constexpr std::chrono::milliseconds kFruitlessTime{500};

}  // namespace

void BlockRunner::wait() {
  started_by_[running_]->fiber.suspend();
  if (aborting_) throw Aborted{};
}

void BlockRunner::release(std::uint32_t lanes, unsigned warp) {
  for (unsigned other = 0; lanes >> other != 0; ++other) {
    const unsigned thread = warp * Warp::kLanes + other;
    if ((lanes >> other & 1u) != 0 && thread != running_) push_ready(thread);
    if (other + 1 == Warp::kLanes) break;  // a shift by all bits is undefined
  }
}

std::uint64_t BlockRunner::exchange(unsigned mask, std::uint64_t value, int lane) {
  progress();
  const unsigned own = running_ % Warp::kLanes;
  if (!Warp::has(mask, own)) {
    fail(cudaErrorLaunchFailure, "a lane exchanges with a mask that it is not in");
  }
  warp().arrive(own, mask, value, static_cast<unsigned>(lane));
  if (const std::uint32_t met = warp().finish(mask)) {
    release(met, running_ / Warp::kLanes);
  } else {
    wait();
  }
  return warp().taken[own];
}

void BlockRunner::yield_waiting() {
  if (fruitless_ == 0) fruitless_since_ = std::chrono::steady_clock::now();
  if (++fruitless_ % kFruitless == 0 &&
      std::chrono::steady_clock::now() - fruitless_since_ > kFruitlessTime) {
    deadlock();
  }
  push_ready(running_);
  wait();
}

void BlockRunner::deadlock() {
  fault_ = {cudaErrorLaunchFailure, "deadlock in block " + std::to_string(blockIdx.x) +
                                        ": none of " + std::to_string(live_) +
                                        " live threads can go on"};
  aborting_ = true;
}

void BlockRunner::fail(cudaError_t error, const std::string& why) {
  if (!aborting_) fault_ = {error, why};
  aborting_ = true;
  throw Aborted{};
}

bool BlockRunner::is_shared(const void* address, std::size_t bytes) const {
  const auto first = reinterpret_cast<std::uintptr_t>(address);
  const auto base = reinterpret_cast<std::uintptr_t>(shared_.get());
  return first >= base && bytes <= grid_.shared_bytes && first - base <= grid_.shared_bytes - bytes;
}

void BlockRunner::push_ready(unsigned thread) {
  ready_[(first_ready_ + ready_count_++) % kMostThreads] = thread;
}

unsigned BlockRunner::pop_ready() {
  const unsigned thread = ready_[first_ready_];
  first_ready_ = (first_ready_ + 1) % kMostThreads;
  --ready_count_;
  return thread;
}

}  // namespace emulated
