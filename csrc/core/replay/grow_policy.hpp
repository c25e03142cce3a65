#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/replay/free_runs.hpp"
#include "core/replay/policy.hpp"

namespace kvprof {

/// Equal tensors, one in each of `layers` layers. The cache's `row_bytes` are one tensor's.
struct TensorPlan {
  CacheRule cache;
  std::int64_t layers = 1;
};

struct GrowPlan {
  std::vector<TensorPlan> tensors;
  LogicalPlan logical;
  std::int64_t unit_bytes = 512;
  std::int64_t capacity_bytes = 0;
  std::int64_t encoder_tokens = 0;
};

/// One contiguous tensor for each sequence and layer. To grow, a tensor is copied: the longer one
/// is allocated, by best fit, while the shorter one is still there; states are updated in place.
class GrowPolicy final : public Policy {
 public:
  explicit GrowPolicy(GrowPlan plan);

  bool fits_when_empty(const Demand& demand) const override;
  std::int64_t admit(Slot slot, const Demand& demand) override;
  bool grow(Slot slot, std::int64_t tokens) override;
  void release(Slot slot) override;
  Shares shares(Slot slot, std::int64_t tokens) const override;
  std::int64_t next_break(Slot, std::int64_t tokens) const override { return tokens + 1; }
  PoolState pool_state(bool waits, Occupancy&) const override;

 private:
  /// One tensor: its memory, and the length of the sequence when it was allocated.
  struct Tensor {
    Run run;
    std::int64_t tokens = 0;
  };

  Lengths at(std::int64_t tokens) const { return {tokens, plan_.encoder_tokens}; }
  std::int64_t units_of(const TensorPlan& tensor, std::int64_t tokens) const;
  bool fits(std::int64_t tokens) const;
  bool replace(const TensorPlan& plan, Tensor& tensor, std::int64_t tokens);

  GrowPlan plan_;
  std::int64_t units_;
  FreeRuns runs_;
  std::size_t num_tensors_ = 0;
  std::vector<std::vector<Tensor>> sequences_;
};

}  // namespace kvprof
