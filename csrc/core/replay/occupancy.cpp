// How full pools and groups were, summed up.
#include "core/replay/occupancy.hpp"

#include <algorithm>

namespace kvprof {

void OccupancySums::resize() {
  pool_sums_.resize(now_.pools.size());
  most_of_pools_.resize(now_.pools.size());
  first_full_.resize(now_.pools.size(), -1);
  group_sums_.resize(now_.groups.size());
  most_of_groups_.resize(now_.groups.size());
}

void OccupancySums::add(std::int64_t tick, std::int64_t ticks, bool fullest) {
  if (first_full_.size() != now_.pools.size()) resize();
  if (fullest) fullest_ = now_;
  const auto n = static_cast<Wide>(ticks);
  for (std::size_t i = 0; i < now_.pools.size(); ++i) {
    const PoolUse& pool = now_.pools[i];
    PoolSums& sums = pool_sums_[i];
    sums.used += n * pool.used;
    sums.reclaimable += n * pool.reclaimable;
    sums.free += n * pool.free;
    if (pool.idle) sums.idle += n * pool.free;
    if (pool.full) sums.full += n;
    if (pool.full && first_full_[i] < 0) first_full_[i] = tick;
    most_of_pools_[i] = std::max(most_of_pools_[i], pool.used);
  }
  for (std::size_t i = 0; i < now_.groups.size(); ++i) {
    group_sums_[i] += n * now_.groups[i];
    most_of_groups_[i] = std::max(most_of_groups_[i], now_.groups[i]);
  }
  ticks_ += n;
}

double OccupancySums::mean(Wide sum) const {
  return ticks_ == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(ticks_);
}

std::vector<MeanUse> OccupancySums::means_of_pools() const {
  std::vector<MeanUse> means;
  for (const PoolSums& sums : pool_sums_) {
    means.push_back({mean(sums.used), mean(sums.reclaimable), mean(sums.free), mean(sums.idle),
                     mean(sums.full)});
  }
  return means;
}

std::vector<double> OccupancySums::means_of_groups() const {
  std::vector<double> means;
  for (const Wide sum : group_sums_) means.push_back(mean(sum));
  return means;
}

}  // namespace kvprof
