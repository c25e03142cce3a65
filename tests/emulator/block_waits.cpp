// How the threads of a block wait for each other, and what ends a kernel that cannot go on.
#include "block.hpp"

namespace emulated {
namespace {

constexpr std::uint64_t kFruitless = 1000;
constexpr std::chrono::milliseconds kFruitlessTime{500};

}  // namespace

void BlockRunner::wait() {
  Thread& own = threads_[running_];
  own.worker->fiber.suspend();
  if (aborting_) throw Aborted{};
}

void BlockRunner::release(std::uint32_t lanes, unsigned warp) {
  for (unsigned other = 0; lanes >> other != 0; ++other) {
    const unsigned thread = warp * Warp::kLanes + other;
    if ((lanes >> other & 1u) != 0 && thread != running_) push_ready(thread);
    if (other + 1 == Warp::kLanes) break;  // a shift by all bits is undefined
  }
}

void BlockRunner::release_block() {
  for (const unsigned thread : at_barrier_) push_ready(thread);
  at_barrier_.clear();
}

void BlockRunner::synchronize() {
  progress();
  if (at_barrier_.size() + 1 == live_) return release_block();
  at_barrier_.push_back(running_);
  wait();
}

void BlockRunner::meet(unsigned mask, std::uint64_t value, unsigned source) {
  progress();
  const unsigned own = running_ % Warp::kLanes;
  if (!Warp::has(mask, own)) {
    fail(cudaErrorLaunchFailure, "a lane exchanges with a mask that it is not in");
  }
  Warp& lanes = warp();
  lanes.arrive(own, mask, value, source);
  if (const std::uint32_t met = lanes.finish(mask)) {
    release(met, running_ / Warp::kLanes);
  } else {
    wait();
  }
}

std::uint64_t BlockRunner::exchange(unsigned mask, std::uint64_t value, int lane) {
  const unsigned own = running_ % Warp::kLanes;
  const bool is_lane = lane >= 0 && lane < static_cast<int>(Warp::kLanes);
  meet(mask, value, is_lane ? static_cast<unsigned>(lane) : own);
  return warp().taken[own];
}

unsigned BlockRunner::ballot(unsigned mask, bool predicate) {
  meet(mask, predicate ? 1 : 0, 0);
  return warp().votes[running_ % Warp::kLanes];
}

bool BlockRunner::yield() {
  Thread& own = threads_[running_];
  // Threads that poll in vain and sleep in between still make no progress.
  if (!own.found_nothing) progress();
  if (ready_count_ == 0 && started_ == size_) return false;
  push_ready(running_);
  wait();
  return true;
}

void BlockRunner::yield_waiting() {
  threads_[running_].found_nothing = true;
  if (fruitless_ == 0) fruitless_since_ = std::chrono::steady_clock::now();
  if (++fruitless_ % kFruitless == 0 &&
      std::chrono::steady_clock::now() - fruitless_since_ > kFruitlessTime) {
    deadlock();
  }
  push_ready(running_);
  wait();
}

void BlockRunner::deadlock() {
  const std::string block = std::to_string(blockIdx.x) + "," + std::to_string(blockIdx.y) + "," +
                            std::to_string(blockIdx.z);
  fault_ = {cudaErrorLaunchFailure, "deadlock in block " + block + ": of " + std::to_string(live_) +
                                        " live threads, " + std::to_string(at_barrier_.size()) +
                                        " wait at __syncthreads and none can go on"};
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
