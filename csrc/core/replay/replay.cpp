// The event loop: requests in, a series of what their memory was out.
#include "core/replay/replay.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

namespace kvprof {
namespace {

constexpr std::int64_t interrupt_steps = 1024;
constexpr std::int64_t most_request_tokens = std::int64_t{1} << 32;
constexpr double most_steps = 4.5e15;  // exact in a double, and room to add
constexpr double most_prefill_steps = 1e12;

[[noreturn]] void refuse(const char* what, std::size_t request, const std::string& value) {
  throw std::invalid_argument(std::string(what) + ": got " + value + " for request " +
                              std::to_string(request));
}

}  // namespace

Replay::Replay(std::unique_ptr<Policy> policy, const ReplayOptions& options)
    : policy_(std::move(policy)), options_(options), series_(options.most_samples) {
  if (!(options.steps_per_s > 0) || !(options.prefill_tokens_per_s >= 0)) {
    throw std::invalid_argument("steps and prefill tokens per second must be above 0");
  }
}

void Replay::validate(const RequestBatch& batch) const {
  const std::size_t count = batch.arrival_s.size;
  if (batch.prompt_tokens.size != count || batch.output_tokens.size != count ||
      batch.hash_offsets.size != count + 1) {
    throw std::invalid_argument("the arrays of a batch must be of one length");
  }
  double earlier = last_arrival_s_;
  std::int64_t offset = batch.hash_offsets[0];
  const auto hashes = static_cast<std::int64_t>(batch.hashes.size);
  for (std::size_t i = 0; i < count; ++i) {
    const double arrival = batch.arrival_s[i];
    const std::int64_t prompt = batch.prompt_tokens[i];
    const std::int64_t output = batch.output_tokens[i];
    if (!(arrival >= earlier) || !(arrival * options_.steps_per_s < most_steps)) {
      refuse("arrivals must ascend from 0 and be finite", i, std::to_string(arrival));
    }
    if (prompt < 0 || prompt > most_request_tokens) {
      refuse("prompt_tokens must be 0 to 2**32", i, std::to_string(prompt));
    }
    if (output < 0 || output > most_request_tokens) {
      refuse("output_tokens must be 0 to 2**32", i, std::to_string(output));
    }
    const std::int64_t next = batch.hash_offsets[i + 1];
    if (offset < 0 || next < offset || next > hashes) {
      refuse("hash_offsets must ascend within the hashes", i, std::to_string(next));
    }
    earlier = arrival;
    offset = next;
  }
}

void Replay::feed(const RequestBatch& batch, const std::function<bool()>& interrupted) {
  validate(batch);
  interrupted_ = &interrupted;
  for (std::size_t i = 0; i < batch.arrival_s.size && !stopped_; ++i) {
    last_arrival_s_ = batch.arrival_s[i];
    const auto arrival =
        static_cast<std::int64_t>(std::ceil(last_arrival_s_ * options_.steps_per_s));
    const std::int64_t prompt = batch.prompt_tokens[i];
    Request request{prompt, prompt, prompt + batch.output_tokens[i], {}, false};
    request.hashes.assign(batch.hashes.data + batch.hash_offsets[i],
                          batch.hashes.data + batch.hash_offsets[i + 1]);
    ++counts_.total;
    offer(std::move(request), arrival);
  }
}

void Replay::finish(const std::function<bool()>& interrupted) {
  interrupted_ = &interrupted;
  while (!idle() && !stopped_) next_step(never);
}

void Replay::offer(Request request, std::int64_t arrival_step) {
  if (!started_) clock_ = arrival_step;
  started_ = true;
  while (!stopped_) {
    if (idle()) pass_idle(arrival_step);
    if (arrival_step <= clock_ && preempted_.empty() && !preempted_now_) {
      if (admit(request) != Outcome::waits) return;
    }
    next_step(arrival_step);
  }
}

// The policy's memory is as it was when the last sequence left.
void Replay::pass_idle(std::int64_t until_step) {
  waits_ = false;
  while (clock_ < until_step) {
    const std::int64_t steps = std::min(until_step - clock_, series_.steps_to_sample(clock_));
    observe(steps);
    clock_ += steps;
    preempted_now_ = false;
  }
}

Replay::Outcome Replay::admit(Request& request) {
  const bool swapped = request.preempted && options_.preemption == Preemption::swap;
  Demand demand{request.tokens, request.final_tokens, request.prompt_tokens, {}};
  if (!swapped) demand.hashes = {request.hashes.data(), request.hashes.size()};
  const bool can_fit =
      request.final_tokens <= options_.longest_tokens && policy_->fits_when_empty(demand);
  const Slot slot = can_fit ? new_slot() : 0;
  const std::int64_t cached = can_fit ? policy_->admit(slot, demand) : -1;
  if (cached < 0) {
    if (can_fit) free_slots_.push_back(slot);
    if (can_fit && !running_.empty()) return Outcome::waits;
    ++counts_.rejected;
    return Outcome::rejected;
  }
  if (!request.preempted) {
    counts_.queried_tokens += request.prompt_tokens;
    counts_.hit_tokens += cached;
  } else if (!swapped) {
    counts_.recomputed_tokens += request.tokens - cached;
  }
  const std::int64_t delay = swapped ? 0 : prefill_steps(request.tokens - cached);
  const bool done = request.tokens >= request.final_tokens;
  Sequence& sequence = slots_[slot];
  sequence = {std::move(request), next_order_++, clock_ + delay, {}, {}};
  sequence.base = policy_->shares(slot, sequence.request.tokens);
  totals_.add(sequence.base);
  running_.emplace(sequence.order, slot);
  counts_.most_live = std::max(counts_.most_live, static_cast<std::int64_t>(running_.size()));
  if (done) {
    finished_.push_back(slot);
  } else if (options_.jumps) {
    due_.emplace(sequence.base_step + 1, sequence.order, slot);
  }
  return Outcome::admitted;
}

std::int64_t Replay::prefill_steps(std::int64_t tokens) const {
  if (options_.prefill_tokens_per_s <= 0) return 0;
  const double steps =
      static_cast<double>(tokens) / options_.prefill_tokens_per_s * options_.steps_per_s;
  return static_cast<std::int64_t>(std::ceil(std::min(steps, most_prefill_steps)));
}

Slot Replay::new_slot() {
  if (free_slots_.empty()) {
    slots_.emplace_back();
    return slots_.size() - 1;
  }
  const Slot slot = free_slots_.back();
  free_slots_.pop_back();
  return slot;
}

void Replay::next_step(std::int64_t arrival_step) {
  if (++rounds_ % interrupt_steps == 0 && *interrupted_ && (*interrupted_)()) stopped_ = true;
  waits_ = !preempted_.empty() || arrival_step <= clock_;
  const std::int64_t steps = steps_to_event(arrival_step);
  observe(steps);
  totals_.add(slopes_, steps - 1);
  complete();
  clock_ += steps;
  totals_.add(slopes_);
  preempted_now_ = false;
  grow();
  readmit();
}

bool Replay::is_due(const Due& due) const {
  const auto found = running_.find(std::get<1>(due));
  return found != running_.end();
}

std::int64_t Replay::steps_to_event(std::int64_t arrival_step) {
  if (!options_.jumps || !finished_.empty() || preempted_now_ || policy_->shares_unevenly()) {
    return 1;
  }
  std::int64_t steps = series_.steps_to_sample(clock_);
  if (arrival_step > clock_ && arrival_step != never) {
    steps = std::min(steps, arrival_step - clock_);
  }
  while (!due_.empty() && !is_due(due_.top())) due_.pop();
  if (!due_.empty()) steps = std::min(steps, std::get<0>(due_.top()) - clock_);
  return std::max<std::int64_t>(1, steps);
}

void Replay::observe(std::int64_t steps) {
  Instant instant;
  instant.step = clock_;
  instant.live_sequences = static_cast<std::int64_t>(running_.size());
  instant.waits = waits_;
  instant.hit_tokens = counts_.hit_tokens;
  instant.queried_tokens = counts_.queried_tokens;
  const Shares shared = policy_->shared([this](Slot slot) {
    const Sequence& sequence = slots_[slot];
    return sequence.request.tokens + std::max<std::int64_t>(0, clock_ - sequence.base_step);
  });
  instant.shares = totals_;
  instant.shares.add(shared, -1);
  instant.shared_bytes = shared.reserved();
  instant.pool = policy_->pool_state(waits_);
  series_.observe(instant, slopes_, steps);
}

void Replay::complete() {
  for (const Slot slot : finished_) {
    remove(slot);
    ++counts_.completed;
  }
  finished_.clear();
}

void Replay::grow() {
  if (options_.jumps) {
    grow_due();
    return;
  }
  for (auto each = running_.begin(); each != running_.end(); ++each) {
    if (slots_[each->second].base_step >= clock_) continue;  // its prompt is being computed
    if (!grow_one(each->second)) return;                     // it was the last
  }
}

void Replay::grow_due() {
  while (!due_.empty() && std::get<0>(due_.top()) <= clock_) {
    const Due due = due_.top();
    due_.pop();
    if (is_due(due)) grow_one(std::get<2>(due));
  }
}

// Only sequences not yet grown in this step are preempted: victims come from the back.
bool Replay::grow_one(Slot slot) {
  const Sequence& sequence = slots_[slot];
  const std::int64_t tokens = sequence.request.tokens + (clock_ - sequence.base_step);
  while (!policy_->grow(slot, tokens)) {
    const Slot last = running_.rbegin()->second;
    preempt(last);
    if (last == slot) return false;
  }
  counts_.appended_tokens += tokens - sequence.request.tokens;
  account(slot, tokens);
  return true;
}

void Replay::account(Slot slot, std::int64_t tokens) {
  Sequence& sequence = slots_[slot];
  const std::int64_t elapsed = clock_ - sequence.base_step;
  totals_.add(sequence.base, -1);
  totals_.add(sequence.slope, -elapsed);
  slopes_.add(sequence.slope, -1);
  sequence.base = policy_->shares(slot, tokens);
  sequence.slope = {};
  sequence.base_step = clock_;
  sequence.request.tokens = tokens;
  totals_.add(sequence.base);
  if (tokens >= sequence.request.final_tokens) {
    finished_.push_back(slot);
    return;
  }
  if (!options_.jumps) return;
  const std::int64_t end =
      std::min(policy_->next_break(slot, tokens), sequence.request.final_tokens);
  if (end - tokens > 1) {
    sequence.slope = policy_->shares(slot, tokens + 1);
    sequence.slope.add(sequence.base, -1);
    slopes_.add(sequence.slope);
  }
  due_.emplace(clock_ + end - tokens, sequence.order, slot);
}

Replay::Request Replay::remove(Slot slot) {
  Sequence& sequence = slots_[slot];
  totals_.add(sequence.base, -1);
  if (clock_ > sequence.base_step) totals_.add(sequence.slope, sequence.base_step - clock_);
  slopes_.add(sequence.slope, -1);
  policy_->release(slot);
  running_.erase(sequence.order);
  free_slots_.push_back(slot);
  return std::move(sequence.request);
}

void Replay::preempt(Slot slot) {
  preempted_now_ = true;
  const Sequence& sequence = slots_[slot];
  const std::int64_t made = std::max<std::int64_t>(0, clock_ - 1 - sequence.base_step);
  const std::int64_t reserved = policy_->shares(slot, sequence.request.tokens + made).reserved();
  Request request = remove(slot);
  counts_.appended_tokens += made;
  if (running_.empty()) {
    ++counts_.rejected;
    return;
  }
  ++counts_.preemptions;
  if (options_.preemption == Preemption::swap) counts_.swapped_bytes += reserved;
  request.tokens += made;
  request.preempted = true;
  preempted_.push_front(std::move(request));
}

void Replay::readmit() {
  while (!preempted_.empty() && !preempted_now_) {
    Request request = std::move(preempted_.front());
    preempted_.pop_front();
    if (admit(request) == Outcome::waits) {
      preempted_.push_front(std::move(request));
      return;
    }
  }
}

}  // namespace kvprof
