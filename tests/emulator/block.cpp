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
  void* memory = nullptr;
  // Exactly as large as asked for, so that AddressSanitizer sees the first byte too many.
  if (grid.shared_bytes > 0 && posix_memalign(&memory, 128, grid.shared_bytes) != 0) {
    throw std::bad_alloc();
  }
  shared_.reset(static_cast<std::byte*>(memory));
  blockDim = grid.threads;
  gridDim = grid.blocks;
  current_ = this;
  for (unsigned block = 0; block < grid.blocks && !aborting_; ++block) {
    blockIdx.x = block;
    run_block();
  }
  current_ = nullptr;
  shared_.reset();
  return fault_;
}

void BlockRunner::start_block() {
  started_ = 0;
  live_ = grid_.threads;
  started_by_.assign(grid_.threads, nullptr);
  warps_.assign((grid_.threads + Warp::kLanes - 1) / Warp::kLanes, {});
  if (grid_.threads % Warp::kLanes != 0) warps_.back().exited = ~0u << grid_.threads % Warp::kLanes;
  first_ready_ = ready_count_ = 0;
  copies_.clear();
  fruitless_ = 0;
  if (shared_) std::memset(shared_.get(), 0xff, grid_.shared_bytes);
}

void BlockRunner::run_block() {
  start_block();
  while (live_ > 0 && !aborting_) {
    if (started_ < grid_.threads) {
      if (idle_.empty()) {
        workers_.push_back(std::make_unique<Worker>(*this));
        idle_.push_back(workers_.back().get());
      }
      Worker& worker = *idle_.back();
      idle_.pop_back();
      resume(worker);
    } else if (ready_count_ > 0) {
      become(pop_ready());
      resume(*started_by_[running_]);
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
    Worker* worker = started_by_[thread];
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
  while (started_ < grid_.threads && !aborting_) {
    const unsigned thread = started_++;
    started_by_[thread] = &worker;
    become(thread);
    try {
      (*kernel_)();
    } catch (const Aborted&) {
    }
    started_by_[running_] = nullptr;
    end_thread();
  }
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
}

}  // namespace emulated
