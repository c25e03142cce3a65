// Instants, averages and pools of a replay, as Python's dictionaries and arrays.
#include "bindings/replay_results.hpp"

#include <string>
#include <vector>

namespace py = pybind11;

namespace kvprof {
namespace {

const std::vector<std::string> share_names{
    "logical", "convention",      "window_slack", "reserved_for_later", "never_used", "lookahead",
    "tail",    "state_alignment", "padding",      "group_padding"};
const std::vector<std::string> pool_names{"reserved",  "reclaimable",     "free",     "external",
                                          "remainder", "reserved_blocks", "imbalance"};
const std::vector<std::string> fact_names{
    "tick",           "live_sequences", "waits",           "hit_tokens",
    "queried_tokens", "shared_bytes",   "largest_free_run"};

std::vector<std::int64_t> row(const Instant& instant) {
  std::vector<std::int64_t> values{instant.tick,
                                   instant.live_sequences,
                                   instant.waits ? 1 : 0,
                                   instant.hit_tokens,
                                   instant.queried_tokens,
                                   instant.shared_bytes,
                                   instant.pool.largest_free_run_bytes};
  values.insert(values.end(), instant.shares.bytes.begin(), instant.shares.bytes.end());
  values.insert(values.end(), instant.pool.shares.begin(), instant.pool.shares.end());
  return values;
}

}  // namespace

std::vector<std::string> replay_columns() {
  std::vector<std::string> names = fact_names;
  names.insert(names.end(), share_names.begin(), share_names.end());
  for (const std::string& name : pool_names) names.push_back("pool_" + name);
  return names;
}

py::dict as_dict(const Instant& instant) {
  const std::vector<std::int64_t> values = row(instant);
  const std::vector<std::string> names = replay_columns();
  py::dict result;
  for (std::size_t i = 0; i < names.size(); ++i) result[py::str(names[i])] = values[i];
  return result;
}

py::dict means_of(const Series& series) {
  const Means m = series.means();
  py::dict result;
  for (std::size_t i = 0; i < num_shares; ++i) result[py::str(share_names[i])] = m.shares[i];
  for (std::size_t i = 0; i < num_pool_shares; ++i) {
    result[py::str("pool_" + pool_names[i])] = m.pool[i];
  }
  result["shared_bytes"] = m.shared_bytes;
  result["live_sequences"] = m.live_sequences;
  return result;
}

py::list pools_of(const OccupancySums& sums) {
  const std::vector<MeanUse> means = sums.means_of_pools();
  py::list result;
  for (std::size_t i = 0; i < means.size(); ++i) {
    const PoolUse& fullest = sums.fullest().pools[i];
    py::dict pool;
    pool["used"] = fullest.used;
    pool["reclaimable"] = fullest.reclaimable;
    pool["free"] = fullest.free;
    pool["idle"] = fullest.idle ? fullest.free : 0;
    pool["most_used"] = sums.most_of_pools()[i];
    pool["mean_used"] = means[i].used;
    pool["mean_reclaimable"] = means[i].reclaimable;
    pool["mean_free"] = means[i].free;
    pool["mean_idle"] = means[i].idle;
    pool["full_ratio"] = means[i].full;
    const std::int64_t first = sums.first_full()[i];
    pool["first_full"] = first < 0 ? py::object(py::none()) : py::object(py::int_(first));
    result.append(pool);
  }
  return result;
}

py::list groups_of(const OccupancySums& sums) {
  const std::vector<double> means = sums.means_of_groups();
  py::list result;
  for (std::size_t i = 0; i < means.size(); ++i) {
    py::dict group;
    group["used"] = sums.fullest().groups[i];
    group["most_used"] = sums.most_of_groups()[i];
    group["mean_used"] = means[i];
    result.append(group);
  }
  return result;
}

py::array_t<std::int64_t> samples_of(const Series& series) {
  const std::vector<Instant>& found = series.samples();
  const auto rows = static_cast<py::ssize_t>(found.size());
  const auto width = static_cast<py::ssize_t>(replay_columns().size());
  py::array_t<std::int64_t> result({rows, width});
  std::int64_t* next = result.mutable_data();
  for (const Instant& instant : found) {
    for (const std::int64_t value : row(instant)) *next++ = value;
  }
  return result;
}

}  // namespace kvprof
