#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/replay/occupancy.hpp"
#include "core/replay/series.hpp"

namespace kvprof {

/// What an instant has, in the order of `samples_of`'s columns.
std::vector<std::string> replay_columns();

pybind11::dict as_dict(const Instant& instant);
pybind11::dict means_of(const Series& series);
pybind11::list pools_of(const OccupancySums& sums);
pybind11::list groups_of(const OccupancySums& sums);

/// [samples, replay_columns]
pybind11::array_t<std::int64_t> samples_of(const Series& series);

}  // namespace kvprof
