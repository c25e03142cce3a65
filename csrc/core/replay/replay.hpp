#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "core/replay/occupancy.hpp"
#include "core/replay/pace.hpp"
#include "core/replay/policy.hpp"
#include "core/replay/request_batch.hpp"
#include "core/replay/running_sequences.hpp"
#include "core/replay/series.hpp"

namespace kvprof {

/// What becomes of a sequence that makes room for others.
enum class Preemption {
  recompute,  ///< its memory is given up; once admitted again, all its tokens are computed again
  swap,       ///< its memory is copied out and back
};

struct ReplayOptions {
  /// Of the clock. A step, in which each running sequence grows by a token, takes `step_ticks` and
  /// the bytes that it moves for them.
  double ticks_per_s = 1;
  std::int64_t step_ticks = 1;
  StepTraffic traffic;
  /// Tokens of a prompt computed in a second; 0: at once.
  double prefill_tokens_per_s = 0;
  Preemption preemption = Preemption::recompute;
  /// Requests that would grow longer are rejected.
  std::int64_t longest_tokens = never;
  /// From one length at which blocks come or go to the next, in place of token by token. What comes
  /// out is the same.
  bool jumps = true;
  std::size_t most_samples = 2048;
  /// The replay stops once it has observed an instant from this tick on, or one that begins with so
  /// many requests completed, and stays as it was then.
  std::int64_t until_tick = never;
  std::int64_t until_completed = never;
};

/// A running sequence, and how long it is.
struct LiveSequence {
  Slot slot = 0;
  std::int64_t tokens = 0;
};

struct ReplayCounts {
  std::int64_t total = 0;
  std::int64_t completed = 0;
  std::int64_t rejected = 0;
  std::int64_t too_long = 0;  ///< of those, longer than requests may be
  std::int64_t preemptions = 0;
  std::int64_t recomputed_tokens = 0;
  std::int64_t swapped_bytes = 0;  ///< out; as many come back
  std::int64_t appended_tokens = 0;
  std::int64_t hit_tokens = 0;
  std::int64_t queried_tokens = 0;
  std::int64_t most_live = 0;
  std::int64_t decode_steps = 0;  ///< those in which some sequence grew
  std::int64_t decode_ticks = 0;  ///< what they took
};

/// Requests through an allocation policy: one event loop, one clock, memory for what is live.
///
/// Each step of the clock:
/// 1. Every running sequence, in order of admission, grows by a token. While there is no room, the
///    sequence admitted last (at worst itself) is preempted, and waits before all others.
/// 2. Unless one was preempted in this step, those that were preempted and then the requests that
///    have arrived are admitted, first come, first served, until one does not fit. A request is
///    rejected when it could not fit an empty memory, or does not although nothing runs. Prefill is
///    done at once, or takes its time, in which the whole prompt is held and does not grow.
/// 3. What there is now is observed.
/// 4. Sequences that have made their output are released.
///
/// With nothing to decode the clock goes on to what comes next; the time between is observed too.
class Replay {
 public:
  /// @throw std::invalid_argument when a rate or what a step takes is not above 0
  Replay(std::unique_ptr<Policy> policy, const ReplayOptions& options);

  /// Run until the last request of the batch is admitted or rejected.
  ///
  /// @param interrupted  asked every thousand steps or so; true ends the call, and the replay with
  /// it
  /// @throw std::invalid_argument when arrays differ in length, arrivals descend or are not finite,
  /// or lengths are out of range; nothing of the batch was replayed then
  /// @throw std::overflow_error when the clock runs out
  void feed(const RequestBatch& batch, const std::function<bool()>& interrupted = {});

  /// Run until nothing is left; no batch may follow.
  void finish(const std::function<bool()>& interrupted = {});

  /// Whether the replay ended before its requests did: it was interrupted, or has come to where it
  /// was to stop. What is fed then has no effect.
  bool stopped() const { return stopped_; }

  /// The last instant that was observed, at first the empty memory.
  const Instant& now() const { return now_; }

  /// Running sequences in order of admission.
  std::vector<LiveSequence> live() const;

  /// Release them, in that order. It ends the replay.
  void release_all();

  const ReplayCounts& counts() const { return counts_; }
  const Series& series() const { return series_; }
  const OccupancySums& occupancy() const { return occupancy_; }
  const Policy& policy() const { return *policy_; }
  Policy& policy() { return *policy_; }

 private:
  enum class Outcome { admitted, rejected, waits };

  void offer(ActiveRequest request, std::int64_t arrival_tick);
  Outcome admit(ActiveRequest& request);
  std::int64_t prefill_ticks(std::int64_t tokens) const;
  void next_step(std::int64_t arrival_tick);
  void pass(std::int64_t until_tick);
  void advance(Stretch::Wide ticks);
  Stretch next_stretch(std::int64_t arrival_tick);
  void observe(const Stretch& stretch);
  void complete();
  void grow();
  bool grow_one(Slot slot);
  ActiveRequest remove(Slot slot);
  void preempt(Slot slot);
  void readmit();
  bool idle() const { return running_.empty() && preempted_.empty(); }

  std::unique_ptr<Policy> policy_;
  ReplayOptions options_;
  RunningSequences running_;
  std::deque<ActiveRequest> preempted_;
  Series series_;
  OccupancySums occupancy_;
  Instant now_;
  ReplayCounts counts_;
  std::int64_t clock_ = 0;  ///< in ticks
  bool started_ = false;
  bool waits_ = false;
  bool preempted_now_ = false;
  const std::function<bool()>* interrupted_ = nullptr;  ///< of the call that runs
  std::int64_t rounds_ = 0;
  bool stopped_ = false;
  double last_arrival_s_ = 0;
};

}  // namespace kvprof
