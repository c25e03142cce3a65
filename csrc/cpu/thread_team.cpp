#include "cpu/thread_team.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "cpu/core_clock.hpp"

namespace kvprof {
namespace {

/// Iterations before a spinning thread gives its CPU to whoever keeps the others from arriving.
constexpr unsigned spins_before_yield = 1 << 12;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

/// A CPU taken away since it was checked leaves the thread unpinned: slower, not wrong.
bool pin_to(std::thread& thread, int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpu), &set);
  return pthread_setaffinity_np(thread.native_handle(), sizeof set, &set) == 0;
}

/// Times that the system took the CPU from this thread though it had work to do.
std::int64_t interruptions_so_far() {
#if defined(RUSAGE_THREAD)
  rusage usage{};
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
#else
  return 0;
#endif
}

/// What this thread has had of its CPU.
double cpu_seconds_so_far() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void refuse_bad_cpus(std::vector<int> cpus) {
  if (cpus.empty()) throw std::invalid_argument("cpus is empty, at least one is needed");
  const std::vector<int> allowed = allowed_cpus();
  for (const int cpu : cpus) {
    if (!std::binary_search(allowed.begin(), allowed.end(), cpu)) {
      throw std::invalid_argument("CPU " + std::to_string(cpu) +
                                  " may not be used by this process");
    }
  }
  std::sort(cpus.begin(), cpus.end());
  const auto twice = std::adjacent_find(cpus.begin(), cpus.end());
  if (twice != cpus.end()) {
    throw std::invalid_argument("CPU " + std::to_string(*twice) + " is named twice");
  }
}

}  // namespace

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

ThreadTeam::ThreadTeam(std::vector<int> cpus)
    : cpus_(std::move(cpus)),
      reports_(cpus_.size()),
      process_(getpid()),
      job_posted_(std::make_unique<std::condition_variable>()) {
  refuse_bad_cpus(cpus_);
  try {
    for (std::size_t thread = 0; thread < cpus_.size(); ++thread) {
      threads_.emplace_back([this, thread] { serve(thread); });
      pinned_.push_back(pin_to(threads_.back(), cpus_[thread]));
    }
  } catch (...) {
    stop();
    throw;
  }
}

ThreadTeam::~ThreadTeam() {
  if (process_ == getpid()) {
    stop();
  } else {
    for (std::thread& thread : threads_) thread.detach();
    // Its destructor waits for the waiters, which stayed behind in the parent: leak it.
    static_cast<void>(job_posted_.release());
  }
}

void ThreadTeam::stop() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  job_posted_->notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Timing ThreadTeam::run(const std::function<void(std::size_t)>& work) {
  if (process_ != getpid()) {
    throw std::runtime_error("this backend's threads belong to the process that forked this one");
  }
  const std::lock_guard<std::mutex> one_caller(callers_);
  std::unique_lock<std::mutex> lock(mutex_);
  work_ = &work;
  done_ = false;
  arrived_ = 0;
  working_ = size();
  ++job_;
  job_posted_->notify_all();
  job_done_.wait(lock, [this] { return done_; });
  Timing timing{0, 0, 0, reports_.front().clock_hz};
  for (const Report& report : reports_) {
    const double seconds = std::chrono::duration<double>(report.end - begin_).count();
    timing.seconds = std::max(timing.seconds, seconds);
    timing.interruptions += report.interruptions;
    timing.lost_seconds = std::max(timing.lost_seconds, report.lost_seconds);
    timing.clock_hz = std::min(timing.clock_hz, report.clock_hz);
  }
  return timing;
}

void ThreadTeam::serve(std::size_t thread) {
  for (std::size_t job = 1;; ++job) {
    const std::function<void(std::size_t)>* work = nullptr;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      job_posted_->wait(lock, [&] { return stopping_ || job_ == job; });
      if (stopping_) return;
      work = work_;
    }
    reports_[thread] = do_part(thread, job, *work);
    if (working_.fetch_sub(1) == 1) {
      const std::lock_guard<std::mutex> lock(mutex_);
      done_ = true;
      job_done_.notify_one();
    }
  }
}

ThreadTeam::Report ThreadTeam::do_part(std::size_t thread, std::size_t job,
                                       const std::function<void(std::size_t)>& work) {
  const std::int64_t interruptions = interruptions_so_far();
  wait_for_all(job);
  const Clock::time_point begin = Clock::now();
  const double cpu_seconds = cpu_seconds_so_far();
  work(thread);
  const Clock::time_point end = Clock::now();
  const double used = cpu_seconds_so_far() - cpu_seconds;
  const double lost = std::chrono::duration<double>(end - begin).count() - used;
  return {end, interruptions_so_far() - interruptions, std::max(lost, 0.0), core_clock_hz()};
}

void ThreadTeam::wait_for_all(std::size_t job) {
  if (arrived_.fetch_add(1) + 1 == size()) {
    begin_ = Clock::now();
    released_job_ = job;
    return;
  }
  for (unsigned spins = 1; released_job_ != job; ++spins) {
    pause_briefly();
    if (spins % spins_before_yield == 0) std::this_thread::yield();
  }
}

}  // namespace kvprof
