// What running sequences take, and which of them are due.
#include "core/replay/running_sequences.hpp"

#include <algorithm>
#include <utility>

namespace kvprof {

std::int64_t RunningSequences::tokens(Slot slot) const {
  const Sequence& sequence = sequences_[slot];
  return sequence.request.tokens + (decodes(slot) ? step_ - sequence.base_step : 0);
}

Slot RunningSequences::next_slot() const {
  return free_slots_.empty() ? sequences_.size() : free_slots_.back();
}

void RunningSequences::add(ActiveRequest request, std::int64_t computed_tick) {
  const Slot slot = next_slot();
  if (free_slots_.empty()) {
    sequences_.emplace_back();
  } else {
    free_slots_.pop_back();
  }
  Sequence& sequence = sequences_[slot];
  sequence = {std::move(request), next_order_++, State::prefills, step_, {}, {}};
  sequence.base.shares = policy_.shares(slot, sequence.request.tokens);
  load_.add(sequence.base);
  by_order_.emplace(sequence.order, slot);
  prefilling_.emplace(computed_tick, sequence.order, slot);
}

ActiveRequest RunningSequences::remove(Slot slot) {
  Sequence& sequence = sequences_[slot];
  if (decodes(slot)) --decoding_;
  take_load(sequence);
  by_order_.erase(sequence.order);
  free_slots_.push_back(slot);
  return std::move(sequence.request);
}

void RunningSequences::take_load(const Sequence& sequence) {
  load_.add(sequence.base, -1);
  load_.add(sequence.slope, sequence.base_step - step_);
  slope_.add(sequence.slope, -1);
}

std::int64_t RunningSequences::next_of(Queue& queue) const {
  while (!queue.empty() && by_order_.find(std::get<1>(queue.top())) == by_order_.end()) queue.pop();
  return queue.empty() ? never : std::get<0>(queue.top());
}

std::int64_t RunningSequences::next_computed_tick() { return next_of(prefilling_); }

void RunningSequences::begin_decoding(std::int64_t tick) {
  while (next_computed_tick() <= tick) {
    const Slot slot = std::get<2>(prefilling_.top());
    prefilling_.pop();
    sequences_[slot].state = State::decodes;
    sequences_[slot].base_step = step_;
    ++decoding_;
    weigh(slot);
  }
}

void RunningSequences::pass(std::int64_t steps) {
  step_ += steps;
  load_.add(slope_, steps);
}

std::int64_t RunningSequences::steps_to_due() {
  const std::int64_t step = next_of(due_);
  return step == never ? never : step - step_;
}

std::optional<Slot> RunningSequences::take_due() {
  if (next_of(due_) > step_) return std::nullopt;
  const Slot slot = std::get<2>(due_.top());
  due_.pop();
  return slot;
}

std::int64_t RunningSequences::weigh(Slot slot) {
  Sequence& sequence = sequences_[slot];
  const std::int64_t length = tokens(slot);
  const std::int64_t made = length - sequence.request.tokens;
  take_load(sequence);
  sequence.request.tokens = length;
  sequence.base_step = step_;
  sequence.base = {policy_.shares(slot, length), 0};
  sequence.slope = {};
  if (length >= sequence.request.final_tokens) {
    sequence.state = State::done;
    --decoding_;
    finished_.push_back(slot);
  } else {
    sequence.base.ticks = traffic_.bytes(length + 1);
    if (jumps_) schedule(slot);
  }
  load_.add(sequence.base);
  return made;
}

// What a step takes is known by the length that it leads to.
void RunningSequences::schedule(Slot slot) {
  Sequence& sequence = sequences_[slot];
  const std::int64_t length = sequence.request.tokens;
  const std::int64_t end =
      std::min({policy_.next_break(slot, length), traffic_.next_break(length + 1) - 1,
                sequence.request.final_tokens});
  if (end - length > 1) {
    sequence.slope = {policy_.shares(slot, length + 1), traffic_.bytes(length + 2)};
    sequence.slope.add(sequence.base, -1);
    slope_.add(sequence.slope);
  }
  due_.emplace(step_ + end - length, sequence.order, slot);
}

std::vector<Slot> RunningSequences::take_finished() { return std::exchange(finished_, {}); }

}  // namespace kvprof
