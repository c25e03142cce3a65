// Free runs of a contiguous memory.
#include "core/replay/free_runs.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace kvprof {
namespace {

std::size_t order_of(std::int64_t units) {
  std::size_t order = 0;
  while ((std::int64_t{1} << order) < units) ++order;
  return order;
}

}  // namespace

FreeRuns::FreeRuns(std::int64_t units, Fit fit) : fit_(fit), free_units_(units) {
  if (units > 0) insert(0, units);
}

void FreeRuns::insert(std::int64_t offset, std::int64_t units) {
  by_offset_.emplace(offset, units);
  by_length_.emplace(units, offset);
}

void FreeRuns::erase(Runs::iterator run) {
  by_length_.erase({run->second, run->first});
  by_offset_.erase(run);
}

// A run that changes stays between its neighbours, in the nodes that it has.
void FreeRuns::change(Runs::iterator run, const Run& to) {
  auto length = by_length_.extract({run->second, run->first});
  length.value() = {to.units, to.offset};
  by_length_.insert(std::move(length));
  run->second = to.units;
  if (run->first == to.offset) return;
  const auto next = std::next(run);
  auto offset = by_offset_.extract(run);
  offset.key() = to.offset;
  by_offset_.insert(next, std::move(offset));
}

FreeRuns::Runs::iterator FreeRuns::find(std::int64_t units) {
  const auto longer = by_length_.lower_bound({units, 0});
  if (longer == by_length_.end()) return by_offset_.end();
  if (fit_ == Fit::best) return by_offset_.find(longer->second);
  return std::find_if(by_offset_.begin(), by_offset_.end(),
                      [units](const auto& run) { return run.second >= units; });
}

std::optional<Run> FreeRuns::allocate(std::int64_t units) {
  const auto found = find(units);
  if (found == by_offset_.end()) return std::nullopt;
  const Run whole{found->first, found->second};
  if (whole.units > units) {
    change(found, {whole.offset + units, whole.units - units});
  } else {
    erase(found);
  }
  free_units_ -= units;
  return Run{whole.offset, units};
}

void FreeRuns::free(const Run& run) {
  free_units_ += run.units;
  auto after = by_offset_.lower_bound(run.offset);
  const bool joins_after = after != by_offset_.end() && after->first == run.offset + run.units;
  const auto before = after == by_offset_.begin() ? by_offset_.end() : std::prev(after);
  if (before != by_offset_.end() && before->first + before->second == run.offset) {
    Run joined{before->first, before->second + run.units};
    if (joins_after) {
      joined.units += after->second;
      erase(after);
    }
    change(before, joined);
  } else if (joins_after) {
    change(after, {run.offset, run.units + after->second});
  } else {
    insert(run.offset, run.units);
  }
}

std::int64_t FreeRuns::largest_free_run() const {
  return by_length_.empty() ? 0 : by_length_.rbegin()->first;
}

Buddies::Buddies(std::int64_t units) : units_(units), free_units_(units) {
  std::int64_t offset = 0;
  for (std::size_t order = num_orders; order-- > 0;) {
    const std::int64_t size = std::int64_t{1} << order;
    if ((units & size) == 0) continue;
    free_[order].insert(offset);
    offset += size;
  }
}

std::int64_t Buddies::rounded(std::int64_t units) const {
  return std::int64_t{1} << order_of(units);
}

std::optional<Run> Buddies::allocate(std::int64_t units) {
  const std::size_t wanted = order_of(units);
  std::size_t order = wanted;
  while (order < num_orders && free_[order].empty()) ++order;
  if (order >= num_orders) return std::nullopt;
  const std::int64_t offset = *free_[order].begin();
  free_[order].erase(free_[order].begin());
  while (order > wanted) {  // the upper half stays free
    --order;
    free_[order].insert(offset + (std::int64_t{1} << order));
  }
  free_units_ -= std::int64_t{1} << wanted;
  return Run{offset, std::int64_t{1} << wanted};
}

// Each power of two of the whole starts at a multiple of itself, so buddies never cross them.
void Buddies::free(const Run& run) {
  free_units_ += run.units;
  std::size_t order = order_of(run.units);
  std::int64_t offset = run.offset;
  while (order + 1 < num_orders) {
    const std::int64_t buddy = offset ^ (std::int64_t{1} << order);
    if (free_[order].erase(buddy) == 0) break;
    offset = std::min(offset, buddy);
    ++order;
  }
  free_[order].insert(offset);
}

std::int64_t Buddies::largest_free_run() const {
  for (std::size_t order = num_orders; order-- > 0;) {
    if (!free_[order].empty()) return std::int64_t{1} << order;
  }
  return 0;
}

std::unique_ptr<RunAllocator> make_runs(std::int64_t units, Fit fit) {
  if (fit == Fit::buddy) return std::make_unique<Buddies>(units);
  return std::make_unique<FreeRuns>(units, fit);
}

}  // namespace kvprof
