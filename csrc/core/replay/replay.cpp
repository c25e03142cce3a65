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
    : policy_(std::move(policy)),
      options_(options),
      running_(*policy_, options.traffic, options.jumps),
      series_(options.most_samples) {
  if (!(options.ticks_per_s > 0) || !(options.prefill_tokens_per_s >= 0)) {
    throw std::invalid_argument("ticks and prefill tokens per second must be above 0");
  }
  check_limits(options.traffic);
  if (options.step_ticks < 0 || (options.step_ticks == 0 && options.traffic.bytes(1) == 0)) {
    throw std::invalid_argument("a step must take some time");
  }
  now_.pool = policy_->pool_state(false, occupancy_.now());
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
    ActiveRequest request{prompt, prompt, prompt + batch.output_tokens[i], {}, false};
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

void Replay::offer(ActiveRequest request, std::int64_t arrival_tick) {
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

Replay::Outcome Replay::admit(ActiveRequest& request) {
  const bool swapped = request.preempted && options_.preemption == Preemption::swap;
  Demand demand{request.tokens, request.final_tokens, request.prompt_tokens, {}};
  if (!swapped) demand.hashes = {request.hashes.data(), request.hashes.size()};
  const bool too_long = request.final_tokens > options_.longest_tokens;
  const bool can_fit = !too_long && policy_->fits_when_empty(demand);
  const std::int64_t cached = can_fit ? policy_->admit(running_.next_slot(), demand) : -1;
  if (cached < 0) {
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
  running_.add(std::move(request), clock_ + delay);
  const auto live = static_cast<std::int64_t>(running_.by_order().size());
  counts_.most_live = std::max(counts_.most_live, live);
  return Outcome::admitted;
}

std::int64_t Replay::prefill_ticks(std::int64_t tokens) const {
  if (options_.prefill_tokens_per_s <= 0) return 0;
  const double ticks =
      static_cast<double>(tokens) / options_.prefill_tokens_per_s * options_.ticks_per_s;
  return static_cast<std::int64_t>(std::ceil(std::min(ticks, most_prefill_ticks)));
}

void Replay::next_step(std::int64_t arrival_tick) {
  if (++rounds_ % interrupt_rounds == 0 && *interrupted_ && (*interrupted_)()) stopped_ = true;
  waits_ = !preempted_.empty() || arrival_tick <= clock_;
  running_.begin_decoding(clock_);
  if (!running_.any_decodes() && running_.finished().empty()) {
    const std::int64_t computed = running_.next_computed_tick();
    const std::int64_t next = arrival_tick > clock_ ? std::min(arrival_tick, computed) : computed;
    pass(preempted_now_ ? clock_ + 1 : next);
    if (!stopped_) readmit();
    return;
  }
  const Stretch stretch = next_stretch(arrival_tick);
  observe(stretch);
  if (stopped_) return;
  if (running_.any_decodes()) {
    counts_.decode_steps += stretch.steps;
    counts_.decode_ticks += static_cast<std::int64_t>(stretch.total());
  }
  complete();
  advance(stretch.total());
  running_.pass(stretch.steps);
  preempted_now_ = false;
  grow();
  readmit();
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

Stretch Replay::next_stretch(std::int64_t arrival_tick) {
  Stretch stretch{1, options_.step_ticks + running_.load().ticks, running_.slope().ticks};
  if (!options_.jumps || !running_.finished().empty() || preempted_now_ ||
      policy_->shares_unevenly()) {
    return stretch;
  }
  const std::int64_t due = running_.steps_to_due();
  if (due != never) stretch.steps = std::max<std::int64_t>(1, due);
  stretch.shorten_to(series_.ticks_to_sample(clock_));
  if (arrival_tick > clock_ && arrival_tick != never) stretch.shorten_to(arrival_tick - clock_);
  const std::int64_t computed = running_.next_computed_tick();
  if (computed != never) stretch.shorten_to(computed - clock_);
  return stretch;
}

void Replay::observe(const Stretch& stretch) {
  if (stretch.total() > most_ticks - clock_) {
    throw std::overflow_error("the clock ran out: too many steps that take too long");
  }
  Instant instant;
  instant.tick = clock_;
  instant.live_sequences = static_cast<std::int64_t>(running_.by_order().size());
  instant.waits = waits_;
  instant.hit_tokens = counts_.hit_tokens;
  instant.queried_tokens = counts_.queried_tokens;
  const Shares shared = policy_->shared([this](Slot slot) { return running_.tokens(slot); });
  instant.shares = running_.load().shares;
  instant.shares.add(shared, -1);
  instant.shared_bytes = shared.reserved();
  instant.pool = policy_->pool_state(waits_, occupancy_.now());
  const bool fuller = series_.observe(instant, running_.slope().shares, stretch);
  occupancy_.add(clock_, static_cast<std::int64_t>(stretch.total()), fuller);
  now_ = instant;
  const bool reached =
      clock_ >= options_.until_tick || counts_.completed >= options_.until_completed;
  stopped_ = stopped_ || reached;
}

std::vector<LiveSequence> Replay::live() const {
  std::vector<LiveSequence> found;
  found.reserve(running_.by_order().size());
  for (const auto& [order, slot] : running_.by_order()) {
    found.push_back({slot, running_.tokens(slot)});
  }
  return found;
}

void Replay::release_all() {
  while (!running_.empty()) remove(running_.by_order().begin()->second);
  stopped_ = true;
}

void Replay::complete() {
  for (const Slot slot : running_.take_finished()) {
    remove(slot);
    ++counts_.completed;
  }
}

void Replay::grow() {
  if (options_.jumps) {
    while (const auto slot = running_.take_due()) grow_one(*slot);
    return;
  }
  const RunningSequences::ByOrder& all = running_.by_order();
  for (auto each = all.begin(); each != all.end(); ++each) {
    if (!running_.decodes(each->second)) continue;
    if (!grow_one(each->second)) return;  // it was the last
  }
}

// Only sequences not yet grown in this step are preempted: victims come from the back.
bool Replay::grow_one(Slot slot) {
  const std::int64_t tokens = running_.tokens(slot);
  while (!policy_->grow(slot, tokens)) {
    const Slot last = running_.newest();
    preempt(last);
    if (last == slot) return false;
  }
  counts_.appended_tokens += running_.weigh(slot);
  return true;
}

ActiveRequest Replay::remove(Slot slot) {
  policy_->release(slot);
  return running_.remove(slot);
}

void Replay::preempt(Slot slot) {
  preempted_now_ = true;
  const std::int64_t tokens = running_.tokens(slot) - (running_.decodes(slot) ? 1 : 0);
  const std::int64_t reserved = policy_->shares(slot, tokens).reserved();
  ActiveRequest request = remove(slot);
  counts_.appended_tokens += tokens - request.tokens;
  if (running_.empty()) {
    ++counts_.rejected;
    return;
  }
  ++counts_.preemptions;
  if (options_.preemption == Preemption::swap) counts_.swapped_bytes += reserved;
  request.tokens = tokens;
  request.preempted = true;
  preempted_.push_front(std::move(request));
}

void Replay::readmit() {
  while (!preempted_.empty() && !preempted_now_) {
    ActiveRequest request = std::move(preempted_.front());
    preempted_.pop_front();
    if (admit(request) == Outcome::waits) {
      preempted_.push_front(std::move(request));
      return;
    }
  }
}

}  // namespace kvprof
