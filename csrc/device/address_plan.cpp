#include "device/address_plan.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace kvprof {
namespace {

__extension__ typedef __int128 Wide;

std::int64_t narrow(Wide value, const char* what) {
  if (value > std::numeric_limits<std::int64_t>::max()) {
    throw std::invalid_argument(std::string(what) + " of the plan is 2**63 bytes or more");
  }
  return static_cast<std::int64_t>(value);
}

void require_at_least(std::int64_t least, std::int64_t value, const char* name) {
  if (value < least) {
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) +
                                ", it must be at least " + std::to_string(least));
  }
}

std::int64_t last_layer_bytes(const Placement& placement) {
  return narrow(placement.base_bytes + Wide{placement.layers - 1} * placement.layer_stride_bytes,
                "the extent");
}

void sort_by_begin(std::vector<Extent>& extents) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
}

/// Appends the bytes of rows [first, first + rows) of one block, in every layer and segment.
void add_extents(const Placement& placement, std::int64_t block_bytes, std::int64_t first,
                 std::int64_t rows, std::vector<Extent>& extents) {
  for (std::int64_t layer = 0; rows > 0 && layer < placement.layers; ++layer) {
    const std::int64_t page =
        placement.base_bytes + layer * placement.layer_stride_bytes + block_bytes;
    for (const Segment& segment : placement.segments) {
      const std::int64_t begin = page + segment.offset_bytes + first * segment.row_bytes;
      extents.push_back({begin, begin + rows * segment.row_bytes});
    }
  }
}

/// One past the last byte of the rows below `rows` of one block of the last layer.
Wide end_of_rows(const Placement& placement, std::int64_t last_layer, Wide block_bytes, Wide rows) {
  Wide end = 0;
  for (const Segment& segment : placement.segments) {
    end = std::max(end, segment.offset_bytes + rows * segment.row_bytes);
  }
  return last_layer + block_bytes + end;
}

struct SlotToken {
  std::int64_t slot;
  std::int64_t token;
};

/// The last token of every slot that is not padding, by descending slot.
std::vector<SlotToken> last_writers(const std::vector<std::int64_t>& slots) {
  std::vector<SlotToken> writers;
  for (std::size_t token = 0; token < slots.size(); ++token) {
    require_at_least(-1, slots[token], "a slot");
    if (slots[token] >= 0) writers.push_back({slots[token], static_cast<std::int64_t>(token)});
  }
  std::sort(writers.begin(), writers.end(), [](const SlotToken& a, const SlotToken& b) {
    return std::tie(a.slot, a.token) > std::tie(b.slot, b.token);
  });
  const auto same_slot = [](const SlotToken& a, const SlotToken& b) { return a.slot == b.slot; };
  writers.erase(std::unique(writers.begin(), writers.end(), same_slot), writers.end());
  return writers;
}

}  // namespace

bool any_overlap(std::vector<Extent> extents) {
  sort_by_begin(extents);
  const auto touches_next = [](const Extent& a, const Extent& b) { return b.begin < a.end; };
  return std::adjacent_find(extents.begin(), extents.end(), touches_next) != extents.end();
}

std::uint64_t next_plan_id() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

void merge_overlapping(std::vector<Extent>& extents) {
  sort_by_begin(extents);
  std::vector<Extent> merged;
  for (const Extent& extent : extents) {
    if (!merged.empty() && extent.begin < merged.back().end) {
      merged.back().end = std::max(merged.back().end, extent.end);
    } else {
      merged.push_back(extent);
    }
  }
  extents = std::move(merged);
}

std::int64_t Placement::row_bytes() const {
  Wide total = 0;
  for (const Segment& segment : segments) total += segment.row_bytes;
  return narrow(total, "a row");
}

void Placement::validate() const {
  require_at_least(0, base_bytes, "base_bytes");
  require_at_least(0, layer_stride_bytes, "layer_stride_bytes");
  require_at_least(0, block_stride_bytes, "block_stride_bytes");
  require_at_least(1, layers, "layers");
  if (segments.empty()) throw std::invalid_argument("segments is empty, a page has at least one");
  for (const Segment& segment : segments) {
    require_at_least(0, segment.offset_bytes, "offset_bytes of a segment");
    require_at_least(1, segment.row_bytes, "row_bytes of a segment");
  }
  row_bytes();
}

PagePlan::PagePlan(Placement placement, std::vector<RowRun> runs)
    : placement_(std::move(placement)), runs_(std::move(runs)) {
  placement_.validate();
  rows_before_.reserve(runs_.size() + 1);
  rows_before_.push_back(0);
  const std::int64_t last_layer = last_layer_bytes(placement_);
  Wide end = 0;
  for (const RowRun& run : runs_) {
    rows_before_.push_back(rows_before_.back() + run.rows);
    if (run.rows == 0) continue;
    const Wide block_bytes = Wide{run.block} * placement_.block_stride_bytes;
    end = std::max(
        end, end_of_rows(placement_, last_layer, block_bytes, Wide{run.first_row} + run.rows));
  }
  extent_bytes_ = narrow(end, "the extent");
  const Wide layer_bytes = Wide{rows_before_.back()} * placement_.row_bytes();
  nbytes_ = narrow(Wide{narrow(layer_bytes, "the size")} * placement_.layers, "the size");
}

std::vector<Extent> PagePlan::extents() const {
  std::vector<Extent> extents;
  extents.reserve(runs_.size() * placement_.segments.size() *
                  static_cast<std::size_t>(placement_.layers));
  for (const RowRun& run : runs_) {
    if (run.rows == 0) continue;  // such a run's block is not bounded, since nothing is there
    add_extents(placement_, run.block * placement_.block_stride_bytes, run.first_row, run.rows,
                extents);
  }
  return extents;
}

bool PagePlan::overlaps() const {
  if (overlap_->load() == Overlap::unknown) {
    overlap_->store(any_overlap(extents()) ? Overlap::some : Overlap::none);
  }
  return overlap_->load() == Overlap::some;
}

SlotPlan::SlotPlan(Placement placement, std::int64_t rows_per_block,
                   const std::vector<std::int64_t>& slots)
    : placement_(std::move(placement)), tokens_(static_cast<std::int64_t>(slots.size())) {
  placement_.validate();
  require_at_least(1, rows_per_block, "rows_per_block");
  const std::int64_t last_layer = last_layer_bytes(placement_);
  Wide end = 0;
  std::vector<Extent> pages;
  std::int64_t previous_block = -1;
  for (const auto& [slot, token] : last_writers(slots)) {
    const std::int64_t block = slot / rows_per_block;
    const std::int64_t row = slot % rows_per_block;
    const std::int64_t block_bytes =
        narrow(Wide{block} * placement_.block_stride_bytes, "the extent");
    end = std::max(end, end_of_rows(placement_, last_layer, block_bytes, Wide{row} + 1));
    narrow(end, "the extent");
    // Slots descend: the first of a block is its highest row.
    if (block != previous_block) add_extents(placement_, block_bytes, 0, row + 1, pages);
    previous_block = block;
    writes_.push_back({token, row, block_bytes});
  }
  if (any_overlap(std::move(pages))) {
    throw std::invalid_argument("the pages of the plan overlap: rows would be written twice");
  }
  std::sort(writes_.begin(), writes_.end(),
            [](const SlotWrite& a, const SlotWrite& b) { return a.token < b.token; });
  extent_bytes_ = narrow(end, "the extent");
  const Wide tokens_bytes = Wide(writes_.size()) * placement_.row_bytes();
  nbytes_ = narrow(Wide{narrow(tokens_bytes, "the size")} * placement_.layers, "the size");
}

}  // namespace kvprof
