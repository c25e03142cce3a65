#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "core/array_view.hpp"
#include "core/replay/cache_rule.hpp"
#include "core/replay/occupancy.hpp"
#include "core/replay/shares.hpp"

namespace kvprof {

/// A request as an allocation policy sees it.
struct Demand {
  /// Tokens held once it is admitted, and before it is released.
  std::int64_t tokens = 0;
  std::int64_t final_tokens = 0;
  /// Of those, tokens of the prompt: what prefix hashes stand for.
  std::int64_t prompt_tokens = 0;
  /// Hashes of the prompt's prefix, one for each `prefix_tokens` tokens; empty for none.
  ArrayView<const std::uint64_t> hashes;
};

/// The state of the memory between requests and sequences.
struct PoolState {
  PoolShares shares{};
  std::int64_t largest_free_run_bytes = 0;
};

/// Sequences are numbered by whoever admits them; numbers of released ones are used again.
using Slot = std::size_t;

/// How long a running sequence is now.
using LengthOf = std::function<std::int64_t(Slot)>;

/// How the memory of sequences is allocated: what a replay runs requests through.
///
/// admit and grow are all or nothing to whoever looks at them between two calls: after a refusal
/// the sequence is as long as before, and grow may be asked again once another was released.
class Policy {
 public:
  Policy() = default;
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;
  virtual ~Policy() = default;

  /// Whether the request could be admitted to, and finished in, a memory that nothing else uses.
  virtual bool fits_when_empty(const Demand& demand) const = 0;

  /// Take memory for a new sequence. @return how many tokens of its prompt were there already, or
  /// -1 when there is no room
  virtual std::int64_t admit(Slot slot, const Demand& demand) = 0;

  /// Make a sequence `tokens` long. @return false when there is no room
  virtual bool grow(Slot slot, std::int64_t tokens) = 0;

  virtual void release(Slot slot) = 0;

  /// What the bytes reserved for a sequence are at that length, shared ones counted in full.
  virtual Shares shares(Slot slot, std::int64_t tokens) const = 0;

  /// A length above `tokens`: up to it, itself excluded, grow would have nothing to do and every
  /// share grows by the same number of bytes a token.
  virtual std::int64_t next_break(Slot slot, std::int64_t tokens) const = 0;

  /// Bytes that several sequences hold, once for each holder but one, by share.
  virtual Shares shared(const LengthOf&) const { return {}; }

  /// Whether what is shared may change from one token to the next.
  virtual bool shares_unevenly() const { return false; }

  /// @param waits  whether the last admission was refused, and the request still waits
  /// @param now  filled in with what each pool and group holds, whose sums are the state's shares;
  /// left alone of a memory that is not in blocks
  virtual PoolState pool_state(bool waits, Occupancy& now) const = 0;

  /// Blocks, pages or runs allocated plus those freed.
  std::uint64_t operations() const { return operations_; }

 protected:
  std::uint64_t operations_ = 0;
};

/// The caches of an architecture: what a sequence must keep, whatever an engine does.
struct LogicalPlan {
  std::vector<CacheRule> caches;

  std::int64_t bytes(const Lengths& at) const {
    std::int64_t sum = 0;
    for (const CacheRule& cache : caches) sum += rows_needed(cache, at).size() * cache.row_bytes;
    return sum;
  }

  std::int64_t next_break(std::int64_t tokens) const {
    std::int64_t next = never;
    for (const CacheRule& cache : caches) {
      next = std::min(next, kvprof::next_break(cache, tokens));
    }
    return next;
  }
};

}  // namespace kvprof
