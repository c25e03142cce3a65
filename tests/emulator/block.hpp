// Runs the blocks of a kernel on one thread: a block's threads are fibers that leave each other the
// CPU where they wait for each other.
#pragma once
#include <cuda_runtime.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fiber.hpp"
#include "warp.hpp"

namespace emulated {

struct Grid {
  unsigned blocks;
  unsigned threads;
  std::size_t shared_bytes;
};

/// The first fault of a kernel; cudaSuccess without one.
struct Fault {
  cudaError_t error = cudaSuccess;
  std::string why;
};

struct BulkCopy {
  void* destination;
  const void* source;
  unsigned bytes;
  std::uint64_t* barrier;
};

class BlockRunner {
 public:
  /// The runner of the calling thread, whose fibers stay for the next kernel.
  static BlockRunner& of_this_thread();
  /// The one that runs the calling kernel.
  static BlockRunner& current();

  Fault run(const Grid& grid, const std::function<void()>& kernel);

  // For the running thread of the block.
  std::uint64_t exchange(unsigned mask, std::uint64_t value, int lane);
  int lane() const { return static_cast<int>(running_ % Warp::kLanes); }
  /// Lets the others run, after it found that it has to wait for them. A block whose threads do
  /// nothing else has a deadlock.
  void yield_waiting();
  /// Ends the kernel.
  [[noreturn]] void fail(cudaError_t error, const std::string& why);

  std::byte* shared() { return shared_.get(); }
  bool is_shared(const void* address, std::size_t bytes) const;
  std::vector<BulkCopy>& copies() { return copies_; }
  /// The running thread did something that another may have waited for.
  void progress() { fruitless_ = 0; }

 private:
  static constexpr std::size_t kMostThreads = 1024;
  struct Aborted {};
  /// A fiber that runs threads of the block one after another, as far as they do not wait.
  struct Worker {
    explicit Worker(BlockRunner& owner) : runner(owner), fiber(&BlockRunner::work, this) {}
    BlockRunner& runner;
    Fiber fiber;
    bool is_idle = true;
  };

  static void work(void* worker);
  void run_block();
  void start_block();
  void resume(Worker& worker);
  void run_unstarted(Worker& worker);
  void end_thread();
  void end_aborted();
  void wait();
  void become(unsigned thread) { running_ = threadIdx.x = thread; }
  void release(std::uint32_t lanes, unsigned warp);
  Warp& warp() { return warps_[running_ / Warp::kLanes]; }
  void deadlock();
  void push_ready(unsigned thread);
  unsigned pop_ready();

  Grid grid_{};
  const std::function<void()>* kernel_ = nullptr;
  Fault fault_;
  bool aborting_ = false;
  unsigned started_ = 0;  ///< threads of the block
  unsigned live_ = 0;     ///< of them, not ended, started or not
  unsigned running_ = 0;
  std::vector<Worker*> started_by_;  ///< the worker of each thread; none once it has ended
  std::vector<Warp> warps_;
  std::array<unsigned, kMostThreads> ready_{};  ///< a ring
  std::size_t first_ready_ = 0;
  std::size_t ready_count_ = 0;
  std::uint64_t fruitless_ = 0;
  std::chrono::steady_clock::time_point fruitless_since_;
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Free> shared_;
  std::vector<BulkCopy> copies_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<Worker*> idle_;
};

}  // namespace emulated
