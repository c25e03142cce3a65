// Tensors that grow by being copied.
#include "core/replay/grow_policy.hpp"

#include <algorithm>
#include <utility>

#include "core/replay/plan_limits.hpp"

namespace kvprof {

GrowPolicy::GrowPolicy(GrowPlan plan)
    : plan_(std::move(plan)),
      units_(plan_.capacity_bytes / plan_.unit_bytes),
      runs_(units_, Fit::best) {
  std::vector<CacheRule> kept;
  for (const TensorPlan& tensor : plan_.tensors) {
    kept.insert(kept.end(), static_cast<std::size_t>(tensor.layers), tensor.cache);
    num_tensors_ += static_cast<std::size_t>(tensor.layers);
  }
  check_rows(kept, at(0));
  check_rows(plan_.logical.caches, at(0));
}

std::int64_t GrowPolicy::units_of(const TensorPlan& tensor, std::int64_t tokens) const {
  const std::int64_t bytes = rows_needed(tensor.cache, at(tokens)).size() * tensor.cache.row_bytes;
  return (bytes + plan_.unit_bytes - 1) / plan_.unit_bytes;
}

// What is there at that length, and a second copy of the largest tensor.
bool GrowPolicy::fits(std::int64_t tokens) const {
  std::int64_t sum = 0;
  std::int64_t copied = 0;
  for (const TensorPlan& tensor : plan_.tensors) {
    const std::int64_t units = units_of(tensor, tokens);
    sum += units * tensor.layers;
    if (tensor.cache.keep != Keep::once) copied = std::max(copied, units);
  }
  return sum + copied <= units_;
}

bool GrowPolicy::fits_when_empty(const Demand& demand) const {
  return fits(demand.tokens) && fits(demand.final_tokens);
}

bool GrowPolicy::replace(const TensorPlan& plan, Tensor& tensor, std::int64_t tokens) {
  const std::int64_t units = units_of(plan, tokens);
  Run longer;
  if (units > 0) {
    const auto found = runs_.allocate(units);
    if (!found) return false;
    ++operations_;
    longer = *found;
  }
  if (tensor.run.units > 0) {
    runs_.free(tensor.run);
    ++operations_;
  }
  tensor = {longer, tokens};
  return true;
}

std::int64_t GrowPolicy::admit(Slot slot, const Demand& demand) {
  if (sequences_.size() <= slot) sequences_.resize(slot + 1);
  sequences_[slot].assign(num_tensors_, {});
  std::size_t i = 0;
  for (const TensorPlan& plan : plan_.tensors) {
    for (std::int64_t layer = 0; layer < plan.layers; ++layer, ++i) {
      if (replace(plan, sequences_[slot][i], demand.tokens)) continue;
      release(slot);
      return -1;
    }
  }
  return 0;
}

// After a refusal some layers are longer already; asked again, it goes on with the others.
bool GrowPolicy::grow(Slot slot, std::int64_t tokens) {
  std::size_t i = 0;
  for (const TensorPlan& plan : plan_.tensors) {
    const bool in_place = plan.cache.keep == Keep::once || plan.cache.clock == Clock::encoder ||
                          tokens % plan.cache.entry_tokens != 0;
    for (std::int64_t layer = 0; layer < plan.layers; ++layer, ++i) {
      Tensor& tensor = sequences_[slot][i];
      if (tensor.tokens >= tokens) continue;
      if (in_place && units_of(plan, tokens) == tensor.run.units) continue;
      if (!replace(plan, tensor, tokens)) return false;
    }
  }
  return true;
}

void GrowPolicy::release(Slot slot) {
  for (const Tensor& tensor : sequences_[slot]) {
    if (tensor.run.units == 0) continue;
    runs_.free(tensor.run);
    ++operations_;
  }
  sequences_[slot].clear();
}

Shares GrowPolicy::shares(Slot, std::int64_t tokens) const {
  Shares shares;
  for (const TensorPlan& tensor : plan_.tensors) {
    const std::int64_t bytes =
        rows_needed(tensor.cache, at(tokens)).size() * tensor.cache.row_bytes;
    shares[convention_share] += bytes * tensor.layers;
    shares[padding_share] += (units_of(tensor, tokens) * plan_.unit_bytes - bytes) * tensor.layers;
  }
  const std::int64_t logical = plan_.logical.bytes(at(tokens));
  shares[logical_share] = logical;
  shares[convention_share] -= logical;
  return shares;
}

PoolState GrowPolicy::pool_state(bool waits, Occupancy&) const {
  PoolState state;
  const std::int64_t free = runs_.free_units() * plan_.unit_bytes;
  state.shares[waits ? external_pool : free_pool] = free;
  state.shares[reserved_pool] = units_ * plan_.unit_bytes - free;
  state.shares[remainder_pool] = plan_.capacity_bytes - units_ * plan_.unit_bytes;
  state.largest_free_run_bytes = runs_.largest_free_run() * plan_.unit_bytes;
  return state;
}

}  // namespace kvprof
