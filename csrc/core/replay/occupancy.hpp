#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace kvprof {

/// The blocks of one pool: with those that no sequence gets they are all that it has.
struct PoolUse {
  std::int64_t used = 0;         ///< by live sequences, shared ones once
  std::int64_t reclaimable = 0;  ///< known by a prefix, used by nobody
  std::int64_t free = 0;
  /// Whether it has no block left, or fewer than the request that waits asks for.
  bool full = false;
  /// Whether it has room while another pool is full.
  bool idle = false;
};

/// What each pool holds, and each group of layers in them: blocks used.
struct Occupancy {
  std::vector<PoolUse> pools;
  std::vector<std::int64_t> groups;
};

/// Averages of one pool's blocks over time.
struct MeanUse {
  double used = 0;
  double reclaimable = 0;
  double free = 0;  ///< idle ones included
  double idle = 0;
  double full = 0;  ///< of the time
};

/// The occupancies of a replay in constant memory: sums over time, the most, the fullest instant.
class OccupancySums {
 public:
  /// Room for the occupancy of each instant: fill it, then `add` it.
  Occupancy& now() { return now_; }

  /// `now()` holds from `tick` on, for so many ticks.
  ///
  /// @param fullest  whether no instant before was as full
  void add(std::int64_t tick, std::int64_t ticks, bool fullest);

  const Occupancy& fullest() const { return fullest_; }
  const std::vector<std::int64_t>& most_of_pools() const { return most_of_pools_; }
  const std::vector<std::int64_t>& most_of_groups() const { return most_of_groups_; }
  /// The tick at which each pool was full first; -1 for never.
  const std::vector<std::int64_t>& first_full() const { return first_full_; }
  std::vector<MeanUse> means_of_pools() const;
  std::vector<double> means_of_groups() const;

 private:
  __extension__ using Wide = __int128;  // blocks times ticks

  struct PoolSums {
    Wide used = 0;
    Wide reclaimable = 0;
    Wide free = 0;
    Wide idle = 0;
    Wide full = 0;
  };

  void resize();
  double mean(Wide sum) const;

  Occupancy now_;
  Occupancy fullest_;
  std::vector<PoolSums> pool_sums_;
  std::vector<Wide> group_sums_;
  std::vector<std::int64_t> most_of_pools_;
  std::vector<std::int64_t> most_of_groups_;
  std::vector<std::int64_t> first_full_;
  Wide ticks_ = 0;
};

}  // namespace kvprof
