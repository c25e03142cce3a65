// The threads that the stream operations run on.
#pragma once
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace kvprof {

/// CPUs that this process may use, ascending.
std::vector<int> allowed_cpus();

/// How a job went: the seconds from the moment that all threads are awake to the moment that the
/// last is done, as they themselves saw them; how often any of them lost its CPU meanwhile, and the
/// most that one was without it; and the slowest core's clock just after.
struct Timing {
  double seconds = 0;
  std::int64_t interruptions = 0;
  double lost_seconds = 0;
  double clock_hz = 0;
};

/// One persistent thread pinned to each of some CPUs. The caller sleeps while they work, so that on
/// a small machine it takes no CPU from them; between jobs they sleep too. Threads do not survive a
/// fork: a child makes its own team.
class ThreadTeam {
 public:
  /// Throws std::invalid_argument for no CPU, one named twice, or one that may not be used.
  explicit ThreadTeam(std::vector<int> cpus);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  const std::vector<int>& cpus() const noexcept { return cpus_; }
  std::size_t size() const noexcept { return cpus_.size(); }

  /// Whether the system has pinned each thread to its CPU.
  const std::vector<bool>& pinned() const noexcept { return pinned_; }

  /// Calls work(thread) once on every thread, which must not throw. Calls from several threads are
  /// served one after another. Throws std::runtime_error in a forked child.
  Timing run(const std::function<void(std::size_t)>& work);

 private:
  using Clock = std::chrono::steady_clock;

  /// What one thread says of its part of a job; on a cache line of its own.
  struct alignas(64) Report {
    Clock::time_point end;
    std::int64_t interruptions = 0;
    double lost_seconds = 0;
    double clock_hz = 0;
  };

  void stop();
  void serve(std::size_t thread);
  void wait_for_all(std::size_t job);
  Report do_part(std::size_t thread, std::size_t job, const std::function<void(std::size_t)>& work);

  std::vector<int> cpus_;
  std::vector<bool> pinned_;
  std::vector<Report> reports_;
  pid_t process_;
  std::mutex callers_;

  std::mutex mutex_;
  std::unique_ptr<std::condition_variable> job_posted_;
  std::condition_variable job_done_;
  const std::function<void(std::size_t)>* work_ = nullptr;
  std::size_t job_ = 0;
  bool stopping_ = false;
  bool done_ = false;

  std::atomic<std::size_t> arrived_{0};
  std::atomic<std::size_t> released_job_{0};
  std::atomic<std::size_t> working_{0};
  Clock::time_point begin_;
  std::vector<std::thread> threads_;
};

}  // namespace kvprof
