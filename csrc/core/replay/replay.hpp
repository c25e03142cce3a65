#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <tuple>
#include <vector>

#include "core/array_view.hpp"
#include "core/replay/policy.hpp"
#include "core/replay/series.hpp"

namespace kvprof {

/// What becomes of a sequence that makes room for others.
enum class Preemption {
  recompute,  ///< its memory is given up; once admitted again, all its tokens are computed again
  swap,       ///< its memory is copied out and back
};

struct ReplayOptions {
  /// Decode steps a second: each running sequence grows by one token a step.
  double steps_per_s = 1;
  /// Tokens of a prompt computed in a second; 0: at once.
  double prefill_tokens_per_s = 0;
  Preemption preemption = Preemption::recompute;
  /// Requests that would grow longer are rejected.
  std::int64_t longest_tokens = never;
  /// From one length at which blocks come or go to the next, in place of token by token. What comes
  /// out is the same.
  bool jumps = true;
  std::size_t most_samples = 2048;
  /// The replay stops once it has observed a step from this one on, or one that begins with so many
  /// requests completed, and stays as it was then.
  std::int64_t until_step = never;
  std::int64_t until_completed = never;
};

/// A running sequence, and how long it is.
struct LiveSequence {
  Slot slot = 0;
  std::int64_t tokens = 0;
};

/// Consecutive requests, in order of arrival; those of a later batch arrive later.
struct RequestBatch {
  ArrayView<const double> arrival_s;
  ArrayView<const std::int64_t> prompt_tokens;
  ArrayView<const std::int64_t> output_tokens;
  /// The prefix hashes of request `i` are `hashes[hash_offsets[i]:hash_offsets[i + 1]]`.
  ArrayView<const std::int64_t> hash_offsets;
  ArrayView<const std::uint64_t> hashes;
};

struct ReplayCounts {
  std::int64_t total = 0;
  std::int64_t completed = 0;
  std::int64_t rejected = 0;
  std::int64_t preemptions = 0;
  std::int64_t recomputed_tokens = 0;
  std::int64_t swapped_bytes = 0;  ///< out; as many come back
  std::int64_t appended_tokens = 0;
  std::int64_t hit_tokens = 0;
  std::int64_t queried_tokens = 0;
  std::int64_t most_live = 0;
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
/// With nothing running the clock jumps to the next arrival; the steps between are observed too.
class Replay {
 public:
  /// @throw std::invalid_argument when a rate is not above 0
  Replay(std::unique_ptr<Policy> policy, const ReplayOptions& options);

  /// Run until the last request of the batch is admitted or rejected.
  ///
  /// @param interrupted  asked every thousand steps or so; true ends the call, and the replay with
  /// it
  /// @throw std::invalid_argument when arrays differ in length, arrivals descend or are not finite,
  /// or lengths are out of range; nothing of the batch was replayed then
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
  const Policy& policy() const { return *policy_; }
  Policy& policy() { return *policy_; }

 private:
  struct Request {
    std::int64_t tokens = 0;  ///< to be held once it is admitted
    std::int64_t prompt_tokens = 0;
    std::int64_t final_tokens = 0;
    std::vector<std::uint64_t> hashes;
    bool preempted = false;
  };

  /// A running sequence: its length and shares at `base_step`, and what they grow by a step.
  struct Sequence {
    Request request;
    std::uint64_t order = 0;
    std::int64_t base_step = 0;
    Shares base;
    Shares slope;
  };

  enum class Outcome { admitted, rejected, waits };
  using Due = std::tuple<std::int64_t, std::uint64_t, Slot>;  ///< step, order, slot

  void validate(const RequestBatch& batch) const;
  void offer(Request request, std::int64_t arrival_step);
  std::int64_t prefill_steps(std::int64_t tokens) const;
  Outcome admit(Request& request);
  Slot new_slot();
  void pass_idle(std::int64_t until_step);
  void next_step(std::int64_t arrival_step);
  std::int64_t steps_to_event(std::int64_t arrival_step);
  void observe(std::int64_t steps);
  void complete();
  void grow();
  void grow_due();
  bool grow_one(Slot slot);
  void account(Slot slot, std::int64_t tokens);
  void preempt(Slot slot);
  Request remove(Slot slot);
  void readmit();
  bool idle() const { return running_.empty() && preempted_.empty(); }
  bool is_due(const Due& due) const;

  std::unique_ptr<Policy> policy_;
  ReplayOptions options_;
  Series series_;
  Instant now_;
  ReplayCounts counts_;
  std::int64_t clock_ = 0;
  bool started_ = false;
  bool waits_ = false;
  bool preempted_now_ = false;
  const std::function<bool()>* interrupted_ = nullptr;  ///< of the call that runs
  std::int64_t rounds_ = 0;
  bool stopped_ = false;
  double last_arrival_s_ = 0;
  std::vector<Sequence> slots_;
  std::vector<Slot> free_slots_;
  std::map<std::uint64_t, Slot> running_;  ///< by order of admission
  std::uint64_t next_order_ = 1;
  std::deque<Request> preempted_;
  std::vector<Slot> finished_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  Shares totals_;  ///< of all running sequences, at this step
  Shares slopes_;
};

}  // namespace kvprof
