#include "device/copy_plan.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

namespace kvprof {
namespace {

[[noreturn]] void refuse(const std::string& what, std::int64_t from, std::int64_t to) {
  throw std::invalid_argument("the plans of a copy differ in " + what + ": " +
                              std::to_string(from) + " and " + std::to_string(to));
}

void require_alike(const PagePlan& from, const PagePlan& to) {
  const Placement& source = from.placement();
  const Placement& target = to.placement();
  if (source.layers != target.layers) refuse("layers", source.layers, target.layers);
  const auto size = [](const auto& list) { return static_cast<std::int64_t>(list.size()); };
  if (source.segments.size() != target.segments.size()) {
    refuse("segments", size(source.segments), size(target.segments));
  }
  for (std::size_t s = 0; s < source.segments.size(); ++s) {
    const std::int64_t row_bytes = source.segments[s].row_bytes;
    if (row_bytes != target.segments[s].row_bytes) {
      refuse("row_bytes", row_bytes, target.segments[s].row_bytes);
    }
  }
  if (from.runs().size() != to.runs().size()) refuse("runs", size(from.runs()), size(to.runs()));
  for (std::size_t r = 0; r < from.runs().size(); ++r) {
    if (from.runs()[r].rows != to.runs()[r].rows) {
      refuse("rows of a run", from.runs()[r].rows, to.runs()[r].rows);
    }
  }
}

}  // namespace

CopyPlan::CopyPlan(PagePlan from, PagePlan to) : from_(std::move(from)), to_(std::move(to)) {
  require_alike(from_, to_);
  std::vector<Extent> written = to_.extents();
  if (any_overlap(written)) {
    throw std::invalid_argument("the target of a copy overlaps itself");
  }
  std::vector<Extent> read = from_.extents();
  merge_overlapping(read);  // a page may be read twice
  written.insert(written.end(), read.begin(), read.end());
  disjoint_ = !any_overlap(std::move(written));
}

}  // namespace kvprof
