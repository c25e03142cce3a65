// Address plans: which bytes of a memory an operation touches, and in which order. They know
// layers, blocks, segments and rows; never an architecture, an engine or a device.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace kvprof {

/// One part of a page: rows of `row_bytes`, one after another, from `offset_bytes` on.
struct Segment {
  std::int64_t offset_bytes;
  std::int64_t row_bytes;
};

/// Where the pages of a cache lie. The address of row r of segment s of block b in layer l is
/// base_bytes + l * layer_stride_bytes + b * block_stride_bytes + s.offset_bytes + r * s.row_bytes.
struct Placement {
  std::int64_t base_bytes;
  std::int64_t layer_stride_bytes;
  std::int64_t block_stride_bytes;
  std::int64_t layers;
  std::vector<Segment> segments;

  /// Bytes of one row over all segments.
  std::int64_t row_bytes() const;

  /// Throws std::invalid_argument for a negative number, no layer, no segment, an empty row, or a
  /// row of 2**63 bytes and more.
  void validate() const;
};

/// Bytes [begin, end) of a memory.
struct Extent {
  std::int64_t begin;
  std::int64_t end;
};

/// Whether any two of them share a byte.
bool any_overlap(std::vector<Extent> extents);

/// Sorts them and makes one of those that share a byte.
void merge_overlapping(std::vector<Extent>& extents);

/// A number that no other plan of the process has.
std::uint64_t next_plan_id();

/// Consecutive rows of one block. The layout is that of a row of the caller's array.
struct RowRun {
  std::uint32_t block;
  std::uint32_t first_row;
  std::uint32_t rows;
};

/// Rows of one cache gathered through block tables: in every layer the same runs, in this order,
/// and of each run the segments one after another. The runs are kept once, not once a layer.
class PagePlan {
 public:
  /// Throws std::invalid_argument for a bad placement, or an extent or size of 2**63 and more.
  PagePlan(Placement placement, std::vector<RowRun> runs);

  const Placement& placement() const noexcept { return placement_; }
  const std::vector<RowRun>& runs() const noexcept { return runs_; }

  /// [runs + 1]: rows of one layer before each run; the last entry counts all of them.
  const std::vector<std::int64_t>& rows_before() const noexcept { return rows_before_; }

  /// Bytes under the plan; a run named twice counts twice.
  std::int64_t nbytes() const noexcept { return nbytes_; }

  /// One past the last byte under the plan; 0 when it has none.
  std::int64_t extent_bytes() const noexcept { return extent_bytes_; }

  /// The pieces that the plan is made of: layers x runs x segments.
  std::vector<Extent> extents() const;

  /// Whether any byte lies under the plan twice: O(n log n) in its extents, the first time.
  bool overlaps() const;

  /// Tells it from all other plans of the process; its copies have the same.
  std::uint64_t id() const noexcept { return id_; }

 private:
  enum class Overlap { unknown, none, some };

  std::uint64_t id_ = next_plan_id();
  std::shared_ptr<std::atomic<Overlap>> overlap_ =
      std::make_shared<std::atomic<Overlap>>(Overlap::unknown);
  Placement placement_;
  std::vector<RowRun> runs_;
  std::vector<std::int64_t> rows_before_;
  std::int64_t nbytes_ = 0;
  std::int64_t extent_bytes_ = 0;
};

/// One row that a SlotPlan writes in every layer.
struct SlotWrite {
  std::int64_t token;
  std::int64_t row;
  std::int64_t block_bytes;  ///< block * block_stride_bytes
};

/// Rows of one cache scattered through a slot mapping, slot = block * rows_per_block + row.
///
/// Slot -1 is padding and is skipped. A slot that is named more than once is written once, by the
/// last token that names it: the result is that of writing the tokens in order, and no two threads
/// ever write the same byte.
class SlotPlan {
 public:
  /// Throws std::invalid_argument for a bad placement, a slot below -1, pages that overlap one
  /// another, or an extent or size of 2**63 and more.
  SlotPlan(Placement placement, std::int64_t rows_per_block,
           const std::vector<std::int64_t>& slots);

  const Placement& placement() const noexcept { return placement_; }

  /// The rows to write, in the order of their tokens.
  const std::vector<SlotWrite>& writes() const noexcept { return writes_; }

  std::uint64_t id() const noexcept { return id_; }  ///< as a PagePlan's

  /// Tokens of one layer, padding and repeated slots included.
  std::int64_t tokens() const noexcept { return tokens_; }

  /// Bytes that are written.
  std::int64_t nbytes() const noexcept { return nbytes_; }

  /// One past the last byte under the plan; 0 when it has none.
  std::int64_t extent_bytes() const noexcept { return extent_bytes_; }

 private:
  std::uint64_t id_ = next_plan_id();
  Placement placement_;
  std::vector<SlotWrite> writes_;
  std::int64_t tokens_ = 0;
  std::int64_t nbytes_ = 0;
  std::int64_t extent_bytes_ = 0;
};

}  // namespace kvprof
