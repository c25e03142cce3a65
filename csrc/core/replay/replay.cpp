// The event loop: requests in, a series of what their memory was out.
#include "core/replay/replay.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/replay/plan_limits.hpp"

namespace kvprof {
namespace {

constexpr std::int64_t interrupt_rounds = 1024;
constexpr std::int64_t most_ticks = (std::int64_t{1} << 62) - 1;  // a sample later fits, too
constexpr double most_prefill_ticks = 1e17;

}  // namespace

Replay::Replay(std::unique_ptr<Policy> policy, const ReplayOptions& options)
    : policy_(std::move(policy)), options_(options), series_(options.most_samples) {
  if (!(options.ticks_per_s > 0) || !(options.prefill_tokens_per_s >= 0)) {
    throw std::invalid_argument("ticks and prefill tokens per second must be above 0");
  }
  check_limits(options.traffic);
  if (options.step_ticks < 0 || (options.step_ticks == 0 && options.traffic.bytes(1) == 0)) {
    throw std::invalid_argument("a step must take some time");
  }
  now_.pool = policy_->pool_state(false);
  series_.start(now_);
}

void Replay::feed(const RequestBatch& batch, const std::function<bool()>& interrupted) {
  validate(batch, last_arrival_s_, static_cast<double>(most_ticks) / options_.ticks_per_s);
  interrupted_ = &interrupted;
  for (std::size_t i = 0; i < batch.arrival_s.size && !stopped_; ++i) {
    last_arrival_s_ = batch.arrival_s[i];
    const auto arrival =
        static_cast<std::int64_t>(std::ceil(last_arrival_s_ * options_.ticks_per_s));
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

void Replay::offer(Request request, std::int64_t arrival_tick) {
  if (!started_) clock_ = arrival_tick;
  started_ = true;
  while (!stopped_) {
    if (idle()) {  // the policy's memory is as it was when the last sequence left
      waits_ = false;
      pass(arrival_tick);
      if (stopped_) return;
    }
    if (arrival_tick <= clock_ && preempted_.empty() && !preempted_now_) {
      if (admit(request) != Outcome::waits) return;
    }
    next_step(arrival_tick);
  }
}

Replay::Outcome Replay::admit(Request& request) {
  const bool swapped = request.preempted && options_.preemption == Preemption::swap;
  Demand demand{request.tokens, request.final_tokens, request.prompt_tokens, {}};
  if (!swapped) demand.hashes = {request.hashes.data(), request.hashes.size()};
  const bool too_long = request.final_tokens > options_.longest_tokens;
  const bool can_fit = !too_long && policy_->fits_when_empty(demand);
  const Slot slot = can_fit ? new_slot() : 0;
  const std::int64_t cached = can_fit ? policy_->admit(slot, demand) : -1;
  if (cached < 0) {
    if (can_fit) free_slots_.push_back(slot);
    if (can_fit && !running_.empty()) return Outcome::waits;
    ++counts_.rejected;
    if (too_long) ++counts_.too_long;
    return Outcome::rejected;
  }
  if (!request.preempted) {
    counts_.queried_tokens += request.prompt_tokens;
    counts_.hit_tokens += cached;
  } else if (!swapped) {
    counts_.recomputed_tokens += request.tokens - cached;
  }
  const std::int64_t delay = swapped ? 0 : prefill_ticks(request.tokens - cached);
  Sequence& sequence = slots_[slot];
  sequence = {std::move(request), next_order_++, State::prefills, step_, {}, {}};
  sequence.base.shares = policy_->shares(slot, sequence.request.tokens);
  totals_.add(sequence.base);
  running_.emplace(sequence.order, slot);
  prefilling_.emplace(clock_ + delay, sequence.order, slot);
  counts_.most_live = std::max(counts_.most_live, static_cast<std::int64_t>(running_.size()));
  return Outcome::admitted;
}

std::int64_t Replay::prefill_ticks(std::int64_t tokens) const {
  if (options_.prefill_tokens_per_s <= 0) return 0;
  const double ticks =
      static_cast<double>(tokens) / options_.prefill_tokens_per_s * options_.ticks_per_s;
  return static_cast<std::int64_t>(std::ceil(std::min(ticks, most_prefill_ticks)));
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

void Replay::next_step(std::int64_t arrival_tick) {
  if (++rounds_ % interrupt_rounds == 0 && *interrupted_ && (*interrupted_)()) stopped_ = true;
  waits_ = !preempted_.empty() || arrival_tick <= clock_;
  begin_decoding();
  if (decoding_ == 0 && finished_.empty()) {
    const std::int64_t ready = any_due(prefilling_) ? std::get<0>(prefilling_.top()) : never;
    const std::int64_t next = arrival_tick > clock_ ? std::min(arrival_tick, ready) : ready;
    pass(preempted_now_ ? clock_ + 1 : next);
    if (!stopped_) readmit();
    return;
  }
  const Stretch stretch = next_stretch(arrival_tick);
  observe(stretch);
  if (stopped_) return;
  if (decoding_ > 0) {
    counts_.decode_steps += stretch.steps;
    counts_.decode_ticks += static_cast<std::int64_t>(stretch.total());
  }
  totals_.add(slopes_, stretch.steps - 1);
  complete();
  advance(stretch.total());
  step_ += stretch.steps;
  totals_.add(slopes_);
  preempted_now_ = false;
  grow();
  readmit();
}

void Replay::begin_decoding() {
  while (any_due(prefilling_) && std::get<0>(prefilling_.top()) <= clock_) {
    const auto [tick, order, slot] = prefilling_.top();
    prefilling_.pop();
    Sequence& sequence = slots_[slot];
    sequence.base_step = step_;
    if (sequence.request.tokens >= sequence.request.final_tokens) {
      finish(slot);
      continue;
    }
    sequence.state = State::decodes;
    ++decoding_;
    sequence.base.ticks = options_.traffic.bytes(sequence.request.tokens + 1);
    totals_.ticks += sequence.base.ticks;
    if (options_.jumps) due_.emplace(step_ + 1, order, slot);
  }
}

// Nothing comes, grows or leaves.
void Replay::pass(std::int64_t until_tick) {
  while (clock_ < until_tick && !stopped_) {
    const std::int64_t ticks = std::min(until_tick - clock_, series_.ticks_to_sample(clock_));
    observe({1, ticks, 0});
    if (stopped_) return;
    advance(ticks);
    preempted_now_ = false;
  }
}

void Replay::advance(Stretch::Wide ticks) { clock_ += static_cast<std::int64_t>(ticks); }

bool Replay::any_due(Queue& queue) const {
  while (!queue.empty() && running_.find(std::get<1>(queue.top())) == running_.end()) queue.pop();
  return !queue.empty();
}

Stretch Replay::next_stretch(std::int64_t arrival_tick) {
  Stretch stretch{1, options_.step_ticks + totals_.ticks, slopes_.ticks};
  if (!options_.jumps || !finished_.empty() || preempted_now_ || policy_->shares_unevenly()) {
    return stretch;
  }
  if (any_due(due_)) stretch.steps = std::max<std::int64_t>(1, std::get<0>(due_.top()) - step_);
  stretch.shorten_to(series_.ticks_to_sample(clock_));
  if (arrival_tick > clock_ && arrival_tick != never) stretch.shorten_to(arrival_tick - clock_);
  if (any_due(prefilling_)) stretch.shorten_to(std::get<0>(prefilling_.top()) - clock_);
  return stretch;
}

void Replay::observe(const Stretch& stretch) {
  if (stretch.total() > most_ticks - clock_) {
    throw std::overflow_error("the clock ran out: too many steps that take too long");
  }
  Instant instant;
  instant.tick = clock_;
  instant.live_sequences = static_cast<std::int64_t>(running_.size());
  instant.waits = waits_;
  instant.hit_tokens = counts_.hit_tokens;
  instant.queried_tokens = counts_.queried_tokens;
  const Shares shared = policy_->shared([this](Slot slot) { return length(slots_[slot]); });
  instant.shares = totals_.shares;
  instant.shares.add(shared, -1);
  instant.shared_bytes = shared.reserved();
  instant.pool = policy_->pool_state(waits_);
  const bool fuller = series_.observe(instant, slopes_.shares, stretch);
  policy_->occupy(waits_, occupancy_.now());
  occupancy_.add(clock_, static_cast<std::int64_t>(stretch.total()), fuller);
  now_ = instant;
  const bool reached =
      clock_ >= options_.until_tick || counts_.completed >= options_.until_completed;
  stopped_ = stopped_ || reached;
}

std::int64_t Replay::length(const Sequence& sequence) const {
  const bool decodes = sequence.state == State::decodes;
  return sequence.request.tokens + (decodes ? step_ - sequence.base_step : 0);
}

std::vector<LiveSequence> Replay::live() const {
  std::vector<LiveSequence> found;
  found.reserve(running_.size());
  for (const auto& [order, slot] : running_) {
    found.push_back({slot, length(slots_[slot])});
  }
  return found;
}

void Replay::release_all() {
  for (const auto& [order, slot] : running_) policy_->release(slot);
  running_.clear();
  stopped_ = true;
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
    if (slots_[each->second].state != State::decodes) continue;
    if (!grow_one(each->second)) return;  // it was the last
  }
}

void Replay::grow_due() {
  while (any_due(due_) && std::get<0>(due_.top()) <= step_) {
    const Slot slot = std::get<2>(due_.top());
    due_.pop();
    grow_one(slot);
  }
}

// Only sequences not yet grown in this step are preempted: victims come from the back.
bool Replay::grow_one(Slot slot) {
  const Sequence& sequence = slots_[slot];
  const std::int64_t tokens = sequence.request.tokens + (step_ - sequence.base_step);
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
  const std::int64_t elapsed = step_ - sequence.base_step;
  totals_.add(sequence.base, -1);
  totals_.add(sequence.slope, -elapsed);
  slopes_.add(sequence.slope, -1);
  sequence.base = {policy_->shares(slot, tokens), 0};
  sequence.slope = {};
  sequence.base_step = step_;
  sequence.request.tokens = tokens;
  if (tokens >= sequence.request.final_tokens) {
    totals_.add(sequence.base);
    --decoding_;
    finish(slot);
    return;
  }
  sequence.base.ticks = options_.traffic.bytes(tokens + 1);
  totals_.add(sequence.base);
  if (!options_.jumps) return;
  // What a step takes is known by the length that it leads to.
  const std::int64_t end =
      std::min({policy_->next_break(slot, tokens), options_.traffic.next_break(tokens + 1) - 1,
                sequence.request.final_tokens});
  if (end - tokens > 1) {
    sequence.slope = {policy_->shares(slot, tokens + 1), options_.traffic.bytes(tokens + 2)};
    sequence.slope.add(sequence.base, -1);
    slopes_.add(sequence.slope);
  }
  due_.emplace(step_ + end - tokens, sequence.order, slot);
}

void Replay::finish(Slot slot) {
  slots_[slot].state = State::done;
  finished_.push_back(slot);
}

Replay::Request Replay::remove(Slot slot) {
  Sequence& sequence = slots_[slot];
  if (sequence.state == State::decodes) --decoding_;
  totals_.add(sequence.base, -1);
  totals_.add(sequence.slope, sequence.base_step - step_);
  slopes_.add(sequence.slope, -1);
  policy_->release(slot);
  running_.erase(sequence.order);
  free_slots_.push_back(slot);
  return std::move(sequence.request);
}

void Replay::preempt(Slot slot) {
  preempted_now_ = true;
  const Sequence& sequence = slots_[slot];
  const bool decodes = sequence.state == State::decodes;
  const std::int64_t made = decodes ? step_ - 1 - sequence.base_step : 0;
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
