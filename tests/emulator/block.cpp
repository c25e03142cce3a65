#include "block.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

__thread uint3 threadIdx;
__thread uint3 blockIdx;
__thread dim3 blockDim;
__thread dim3 gridDim;

namespace emulated {
namespace {

constexpr std::uint64_t kFruitless = 100'000;
constexpr std::chrono::milliseconds kFruitlessTime{500};

thread_local BlockRunner* current_ = nullptr;

}  // namespace

void BlockRunner::Free::operator()(std::byte* memory) const { std::free(memory); }

BlockRunner& BlockRunner::of_this_thread() {
  thread_local BlockRunner runner;
  return runner;
}

BlockRunner& BlockRunner::current() {
  if (current_ == nullptr) std::abort();  // a device function called by the host
  return *current_;
}

Fault BlockRunner::run(const Grid& grid, const std::function<void()>& kernel) {
  grid_ = grid;
  kernel_ = &kernel;
  fault_ = {};
  aborting_ = false;
  size_ = grid.threads.x * grid.threads.y * grid.threads.z;
  void* memory = nullptr;
  // Exactly as large as asked for, so that AddressSanitizer sees the first byte too many.
  if (grid.shared_bytes > 0 && posix_memalign(&memory, 128, grid.shared_bytes) != 0) {
    throw std::bad_alloc();
  }
  shared_.reset(static_cast<std::byte*>(memory));
  gridDim = grid.blocks;
  blockDim = grid.threads;
  current_ = this;
  for (unsigned z = 0; z < grid.blocks.z && !aborting_; ++z) {
    for (unsigned y = 0; y < grid.blocks.y && !aborting_; ++y) {
      for (unsigned x = 0; x < grid.blocks.x && !aborting_; ++x) {
        blockIdx = {x, y, z};
        run_block();
      }
    }
  }
  current_ = nullptr;
  shared_.reset();
  return fault_;
}

void BlockRunner::start_block() {
  started_ = 0;
  live_ = size_;
  threads_.assign(size_, {});
  warps_.assign((size_ + Warp::kLanes - 1) / Warp::kLanes, {});
  if (size_ % Warp::kLanes != 0) warps_.back().exited = ~0u << size_ % Warp::kLanes;
  at_barrier_.clear();
  first_ready_ = ready_count_ = 0;
  copies_.clear();
  fruitless_ = 0;
  if (shared_) std::memset(shared_.get(), 0xff, grid_.shared_bytes);
}

void BlockRunner::run_block() {
  start_block();
  while (live_ > 0 && !aborting_) {
    if (started_ < size_) {
      if (idle_.empty()) {
        workers_.push_back(std::make_unique<Worker>(*this));
        idle_.push_back(workers_.back().get());
      }
      Worker& worker = *idle_.back();
      idle_.pop_back();
      resume(worker);
    } else if (ready_count_ > 0) {
      become(pop_ready());
      resume(*threads_[running_].worker);
    } else {
      deadlock();
    }
  }
  if (aborting_) return end_aborted();
  if (copies_.empty()) return;
  fault_ = {cudaErrorLaunchFailure, "a block ended with a bulk copy in flight"};
  aborting_ = true;
}

/// Unwinds the threads that wait, so that what they hold on their stacks is given back.
void BlockRunner::end_aborted() {
  for (unsigned thread = 0; thread < started_; ++thread) {
    Worker* worker = threads_[thread].worker;
    if (worker == nullptr) continue;
    become(thread);
    resume(*worker);
  }
}

void BlockRunner::resume(Worker& worker) {
  worker.fiber.resume();
  if (worker.is_idle) idle_.push_back(&worker);
}

void BlockRunner::work(void* argument) {
  Worker& worker = *static_cast<Worker*>(argument);
  for (;;) {
    worker.is_idle = false;
    worker.runner.run_unstarted(worker);
    worker.is_idle = true;
    worker.fiber.suspend();
  }
}

void BlockRunner::run_unstarted(Worker& worker) {
  while (started_ < size_ && !aborting_) {
    const unsigned thread = started_++;
    threads_[thread].worker = &worker;
    become(thread);
    try {
      (*kernel_)();
    } catch (const Aborted&) {
    }
    threads_[running_].worker = nullptr;
    end_thread();
  }
}

void BlockRunner::become(unsigned thread) {
  running_ = thread;
  if (thread < grid_.threads.x) {  // nearly always, and divisions are slow
    threadIdx = {thread, 0, 0};
    return;
  }
  threadIdx.x = thread % grid_.threads.x;
  threadIdx.y = thread / grid_.threads.x % grid_.threads.y;
  threadIdx.z = thread / grid_.threads.x / grid_.threads.y;
}

void BlockRunner::end_thread() {
  --live_;
  if (aborting_) return;
  progress();
  Warp& own = warp();
  own.exited |= 1u << lane();
  for (unsigned other = 0; own.arrived != 0 && other < Warp::kLanes; ++other) {
    if ((own.arrived >> other & 1u) != 0) {
      release(own.finish(own.mask[other]), running_ / Warp::kLanes);
    }
  }
  if (live_ > 0 && at_barrier_.size() == live_) release_block();
}

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
