#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <queue>
#include <tuple>
#include <utility>
#include <vector>

#include "core/replay/pace.hpp"
#include "core/replay/policy.hpp"
#include "core/replay/shares.hpp"

namespace kvprof {

/// A request between its arrival and its completion.
struct ActiveRequest {
  std::int64_t tokens = 0;  ///< to be held once it is admitted
  std::int64_t prompt_tokens = 0;
  std::int64_t final_tokens = 0;
  std::vector<std::uint64_t> hashes;
  bool preempted = false;
};

/// What a sequence takes: of the memory, and of the time of the step that comes.
struct Load {
  Shares shares;
  std::int64_t ticks = 0;

  void add(const Load& other, std::int64_t times = 1) {
    shares.add(other.shares, times);
    ticks += times * other.ticks;
  }
};

/// Sequences that run, in order of admission: how long each is, what they take together, and when
/// there is something to do for one.
///
/// From one such step to the next a sequence grows by a token a step, and its load evenly. So loads
/// are kept as sums, and a step looks at those sequences alone that are due.
class RunningSequences {
 public:
  /// @param policy  where they have their memory
  /// @param jumps  whether sequences are due where blocks come or go; else nothing is ever due, and
  /// each sequence is to grow in each step
  RunningSequences(const Policy& policy, StepTraffic traffic, bool jumps)
      : policy_(policy), traffic_(std::move(traffic)), jumps_(jumps) {}

  using ByOrder = std::map<std::uint64_t, Slot>;

  /// Slots by order of admission.
  const ByOrder& by_order() const { return by_order_; }
  bool empty() const { return by_order_.empty(); }
  /// The one that was admitted last. @pre there is one
  Slot newest() const { return by_order_.rbegin()->second; }
  bool decodes(Slot slot) const { return sequences_[slot].state == State::decodes; }
  /// Tokens that a sequence holds now.
  std::int64_t tokens(Slot slot) const;

  /// Where the next sequence is to be admitted to.
  Slot next_slot() const;

  /// One more, which the policy has admitted to `next_slot()`, and whose prompt is computed at that
  /// tick.
  void add(ActiveRequest request, std::int64_t computed_tick);

  /// One fewer. @return its request, of as many tokens as when it was weighed last
  ActiveRequest remove(Slot slot);

  /// When the next prompt is computed; `never` when none is on its way.
  std::int64_t next_computed_tick();

  /// Sequences whose prompts are computed by that tick decode from now on.
  void begin_decoding(std::int64_t tick);

  bool any_decodes() const { return decoding_ > 0; }

  /// So many steps go by.
  void pass(std::int64_t steps);

  /// Steps until one is due; `never` when none will be.
  std::int64_t steps_to_due();

  /// The next that is due now, in order of admission.
  std::optional<Slot> take_due();

  /// A sequence has its memory for the tokens that it holds now: what it takes from here on, and
  /// when it is due again.
  ///
  /// @return how many tokens it has made since it was weighed last
  std::int64_t weigh(Slot slot);

  /// Sequences that have made all their output.
  const std::vector<Slot>& finished() const { return finished_; }
  std::vector<Slot> take_finished();

  /// What all take at this step, and what that grows by a step.
  const Load& load() const { return load_; }
  const Load& slope() const { return slope_; }

 private:
  enum class State { prefills, decodes, done };

  /// A sequence: its length and load at `base_step`, and what they grow by a step.
  struct Sequence {
    ActiveRequest request;
    std::uint64_t order = 0;
    State state = State::prefills;
    std::int64_t base_step = 0;
    Load base;
    Load slope;
  };

  using Due = std::tuple<std::int64_t, std::uint64_t, Slot>;  ///< step or tick, order, slot
  using Queue = std::priority_queue<Due, std::vector<Due>, std::greater<>>;

  /// When the next of a queue is due; those that run no longer are dropped.
  std::int64_t next_of(Queue& queue) const;
  void take_load(const Sequence& sequence);
  void schedule(Slot slot);

  const Policy& policy_;
  StepTraffic traffic_;
  bool jumps_;
  std::int64_t step_ = 0;
  std::vector<Sequence> sequences_;  ///< [slots]
  std::vector<Slot> free_slots_;
  ByOrder by_order_;
  std::uint64_t next_order_ = 1;
  std::int64_t decoding_ = 0;
  std::vector<Slot> finished_;
  Queue prefilling_;  ///< by the tick at which the prompt is computed
  Queue due_;         ///< by the step before which something happens
  Load load_;
  Load slope_;
};

}  // namespace kvprof
