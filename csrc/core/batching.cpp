// Continuous batching: arrivals in, block tables as serving leaves them out.
#include "core/batching.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace kvprof {
namespace {

constexpr std::uint64_t interrupt_steps = 1024;

[[noreturn]] void refuse(const char* what, std::size_t request, const std::string& value) {
  throw std::invalid_argument(std::string(what) + ": got " + value + " for request " +
                              std::to_string(request));
}

void validate(const Requests& requests) {
  const std::size_t count = requests.arrival_steps.size;
  if (requests.prompt_tokens.size != count || requests.output_tokens.size != count) {
    throw std::invalid_argument(
        "arrival_steps, prompt_tokens and output_tokens must be of one length: got " +
        std::to_string(count) + ", " + std::to_string(requests.prompt_tokens.size) + " and " +
        std::to_string(requests.output_tokens.size));
  }
  constexpr auto most = static_cast<std::int64_t>(max_tokens);
  double earlier = -std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < count; ++i) {
    const double arrival = requests.arrival_steps[i];
    const std::int64_t prompt = requests.prompt_tokens[i];
    const std::int64_t output = requests.output_tokens[i];
    if (!std::isfinite(arrival)) {
      refuse("arrival_steps must be finite", i, std::to_string(arrival));
    }
    if (arrival < earlier) refuse("arrival_steps must not descend", i, std::to_string(arrival));
    if (prompt < 0) refuse("prompt_tokens must be 0 or more", i, std::to_string(prompt));
    if (output < 1) refuse("output_tokens must be 1 or more", i, std::to_string(output));
    if (prompt > most || output > most - prompt) {
      refuse("prompt and output tokens must be 2**40 or less in sum", i,
             std::to_string(prompt) + " and " + std::to_string(output));
    }
    earlier = arrival;
  }
}

/// A request that waits or runs.
struct Request {
  std::uint64_t tokens = 0;  ///< held, or to be held on admission
  std::uint64_t remaining_tokens = 0;
  SequenceId sequence = 0;  ///< while it runs
};

class Run {
 public:
  Run(CacheAllocator& allocator, const Requests& requests)
      : allocator_(allocator), requests_(requests) {}

  bool done() const {
    return next_ == requests_.arrival_steps.size && waiting_.empty() && running_.empty();
  }

  const BatchingResult& counts() const { return counts_; }

  void step() {
    receive();
    admit();
    grow();
    complete();
    ++counts_.steps;
    ++clock_;
    remember_fullest();
  }

  BatchingResult result() const {
    BatchingResult result = counts_;
    result.arrived = next_;
    result.waiting = waiting_.size();
    if (!waiting_.empty()) result.waiting_tokens = waiting_.front().tokens;
    if (result.steps > 0) {
      result.mean_running = static_cast<double>(appended_) / static_cast<double>(result.steps);
    }
    return result;
  }

 private:
  void receive() {
    const ArrayView<const double> arrivals = requests_.arrival_steps;
    if (running_.empty() && waiting_.empty() && next_ < arrivals.size) {
      clock_ = std::max(clock_, std::ceil(arrivals[next_]));
    }
    for (; next_ < arrivals.size && arrivals[next_] <= clock_; ++next_) {
      waiting_.push_back({static_cast<std::uint64_t>(requests_.prompt_tokens[next_]),
                          static_cast<std::uint64_t>(requests_.output_tokens[next_]), 0});
    }
  }

  void admit() {
    while (!waiting_.empty()) {
      const bool can_fit = can_ever_fit(waiting_.front());
      if (!can_fit || !start(waiting_.front())) {
        if (can_fit && !running_.empty()) return;
        ++counts_.rejected;
      }
      waiting_.pop_front();
    }
  }

  bool start(Request request) {
    const auto sequence = allocator_.try_admit({request.tokens, 0});
    if (!sequence) return false;
    request.sequence = *sequence;
    running_.push_back(request);
    return true;
  }

  // Where a window or chunk needs most in between, grow() finds out.
  bool can_ever_fit(const Request& request) const {
    return allocator_.fits_when_empty({request.tokens, 0}) &&
           allocator_.fits_when_empty({request.tokens + request.remaining_tokens, 0});
  }

  // Only sequences not yet grown in this step are preempted: victims come from the back.
  void grow() {
    for (std::size_t i = 0; i < running_.size(); ++i) {
      if (append_or_preempt(i)) {
        ++running_[i].tokens;
        --running_[i].remaining_tokens;
      }
    }
    appended_ += running_.size();
  }

  // Whether request `i` still runs, one token longer.
  bool append_or_preempt(std::size_t i) {
    while (!allocator_.try_append(running_[i].sequence, 1)) {
      const Request last = running_.back();
      running_.pop_back();
      allocator_.release(last.sequence);
      if (running_.empty()) {
        ++counts_.rejected;
      } else {
        ++counts_.preemptions;
        waiting_.push_front(last);
      }
      if (i == running_.size()) return false;
    }
    return true;
  }

  void complete() {
    const auto finished = [this](const Request& request) {
      if (request.remaining_tokens > 0) return false;
      allocator_.release(request.sequence);
      ++counts_.completed;
      return true;
    };
    running_.erase(std::remove_if(running_.begin(), running_.end(), finished), running_.end());
  }

  void remember_fullest() {
    std::uint64_t used = 0;
    for (std::size_t group = 0; group < allocator_.num_groups(); ++group) {
      used += allocator_.num_blocks(group) - allocator_.num_free(group);
    }
    if (used <= most_blocks_) return;
    most_blocks_ = used;
    counts_.fullest_steps = counts_.steps;
  }

  CacheAllocator& allocator_;
  const Requests& requests_;
  std::uint64_t most_blocks_ = 0;
  std::size_t next_ = 0;  ///< the next request to arrive
  double clock_ = 0;
  std::deque<Request> waiting_;
  std::vector<Request> running_;  ///< in order of admission
  std::uint64_t appended_ = 0;
  BatchingResult counts_;
};

}  // namespace

BatchingResult run_batching(CacheAllocator& allocator, const Requests& requests,
                            const BatchingLimits& limits,
                            const std::function<bool()>& interrupted) {
  validate(requests);
  Run run(allocator, requests);
  while (!run.done() && run.counts().completed < limits.until_completed &&
         run.counts().steps < limits.max_steps) {
    run.step();
    if (run.counts().steps % interrupt_steps == 0 && interrupted && interrupted()) break;
  }
  return run.result();
}

}  // namespace kvprof
