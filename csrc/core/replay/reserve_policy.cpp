// Contiguous reservation: one run a sequence.
#include "core/replay/reserve_policy.hpp"

#include <algorithm>
#include <utility>

#include "core/replay/plan_limits.hpp"

namespace kvprof {

ReservePolicy::ReservePolicy(ReservePlan plan)
    : plan_(std::move(plan)),
      units_(plan_.capacity_bytes / plan_.unit_bytes),
      runs_(make_runs(units_, plan_.fit)),
      largest_run_(runs_->largest_free_run()) {
  check_rows(plan_.kept, at(plan_.longest_tokens));
  check_rows(plan_.logical.caches, at(plan_.longest_tokens));
}

std::int64_t ReservePolicy::reserved_tokens(const Demand& demand) const {
  if (plan_.reserve == Reserve::most) return plan_.longest_tokens;
  if (plan_.reserve == Reserve::oracle) return demand.final_tokens;
  const std::int64_t output = demand.final_tokens - demand.prompt_tokens;
  std::int64_t rounded = output > 0 ? 1 : 0;
  while (rounded < output) rounded *= 2;
  return std::max(demand.final_tokens,
                  std::min(plan_.longest_tokens, demand.prompt_tokens + rounded));
}

std::int64_t ReservePolicy::most_bytes(std::int64_t tokens) const {
  std::int64_t sum = 0;
  for (const CacheRule& cache : plan_.kept) sum += most_rows(cache, at(tokens)) * cache.row_bytes;
  return sum;
}

std::int64_t ReservePolicy::units_of(std::int64_t tokens) const {
  const std::int64_t bytes = most_bytes(tokens);
  const std::int64_t units = (bytes + plan_.unit_bytes - 1) / plan_.unit_bytes;
  return units == 0 ? 0 : runs_->rounded(units);
}

bool ReservePolicy::fits_when_empty(const Demand& demand) const {
  return demand.final_tokens <= plan_.longest_tokens &&
         units_of(reserved_tokens(demand)) <= largest_run_;
}

std::int64_t ReservePolicy::admit(Slot slot, const Demand& demand) {
  if (regions_.size() <= slot) regions_.resize(slot + 1);
  const std::int64_t tokens = reserved_tokens(demand);
  Region region{{}, tokens, demand.final_tokens};
  if (const std::int64_t units = units_of(tokens); units > 0) {
    const auto run = runs_->allocate(units);
    if (!run) return -1;
    ++operations_;
    region.run = *run;
  }
  regions_[slot] = region;
  return 0;
}

void ReservePolicy::release(Slot slot) {
  if (regions_[slot].run.units == 0) return;
  runs_->free(regions_[slot].run);
  ++operations_;
}

Shares ReservePolicy::shares(Slot slot, std::int64_t tokens) const {
  const Region& region = regions_[slot];
  Shares shares;
  std::int64_t kept = 0;
  for (const CacheRule& cache : plan_.kept) {
    kept += rows_needed(cache, at(tokens)).size() * cache.row_bytes;
  }
  const std::int64_t used = most_bytes(region.final_tokens);
  const std::int64_t reserved = most_bytes(region.reserved_tokens);
  shares[logical_share] = plan_.logical.bytes(at(tokens));
  shares[convention_share] = kept - shares[logical_share];
  shares[reserved_for_later_share] = used - kept;
  shares[never_used_share] = reserved - used;
  shares[padding_share] = region.run.units * plan_.unit_bytes - reserved;
  return shares;
}

std::int64_t ReservePolicy::next_break(Slot, std::int64_t tokens) const {
  std::int64_t next = plan_.logical.next_break(tokens);
  for (const CacheRule& cache : plan_.kept) {
    next = std::min(next, kvprof::next_break(cache, tokens));
  }
  return next;
}

// A request waits because no free run is as long as it asks for.
PoolState ReservePolicy::pool_state(bool waits, Occupancy&) const {
  PoolState state;
  const std::int64_t free = runs_->free_units() * plan_.unit_bytes;
  state.shares[waits ? external_pool : free_pool] = free;
  state.shares[reserved_pool] = units_ * plan_.unit_bytes - free;
  state.shares[remainder_pool] = plan_.capacity_bytes - units_ * plan_.unit_bytes;
  state.largest_free_run_bytes = runs_->largest_free_run() * plan_.unit_bytes;
  return state;
}

}  // namespace kvprof
