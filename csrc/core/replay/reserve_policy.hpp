#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "core/replay/free_runs.hpp"
#include "core/replay/policy.hpp"

namespace kvprof {

/// For how many tokens a contiguous run is set aside on admission.
enum class Reserve {
  most,    ///< the longest sequence that there may be
  pow2,    ///< the prompt, and the output rounded up to a power of two
  oracle,  ///< as many as there will be
};

struct ReservePlan {
  /// What the engine keeps, and what is needed.
  std::vector<CacheRule> kept;
  LogicalPlan logical;
  Reserve reserve = Reserve::most;
  Fit fit = Fit::buddy;
  std::int64_t unit_bytes = 1;
  std::int64_t longest_tokens = 0;
  std::int64_t capacity_bytes = 0;
  std::int64_t encoder_tokens = 0;
};

/// One contiguous run for all that a sequence will ever keep, set aside on admission (Orca,
/// OSDI'22, as PagedAttention, SOSP'23, section 6.1, compares with it).
class ReservePolicy final : public Policy {
 public:
  explicit ReservePolicy(ReservePlan plan);

  bool fits_when_empty(const Demand& demand) const override;
  std::int64_t admit(Slot slot, const Demand& demand) override;
  bool grow(Slot, std::int64_t) override { return true; }
  void release(Slot slot) override;
  Shares shares(Slot slot, std::int64_t tokens) const override;
  std::int64_t next_break(Slot slot, std::int64_t tokens) const override;
  PoolState pool_state(bool waits, Occupancy&) const override;

 private:
  struct Region {
    Run run;
    std::int64_t reserved_tokens = 0;
    std::int64_t final_tokens = 0;
  };

  Lengths at(std::int64_t tokens) const { return {tokens, plan_.encoder_tokens}; }
  std::int64_t reserved_tokens(const Demand& demand) const;
  std::int64_t most_bytes(std::int64_t tokens) const;
  std::int64_t units_of(std::int64_t tokens) const;

  ReservePlan plan_;
  std::int64_t units_;
  std::unique_ptr<RunAllocator> runs_;
  std::int64_t largest_run_;
  std::vector<Region> regions_;
};

}  // namespace kvprof
