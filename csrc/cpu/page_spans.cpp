#include "cpu/page_spans.hpp"

#include <algorithm>

namespace kvprof {
namespace {

constexpr std::int64_t cut_bytes = 64;

/// Longer runs are handed out in pieces, so that there are several to interleave.
constexpr std::int64_t longest_span_bytes = std::int64_t{64} << 10;

/// Where a piece of `nbytes` is cut when a share ends `offset` bytes into it.
std::int64_t cut(std::int64_t offset, std::int64_t nbytes) {
  if (offset <= 0) return 0;
  return offset >= nbytes ? nbytes
                          : std::min(nbytes, (offset + cut_bytes - 1) / cut_bytes * cut_bytes);
}

/// Whether two spans are as good as one: the words of a checksum must not shift.
bool continues(const Span& before, const Span& span) {
  return before.data + before.nbytes == span.data && before.nbytes % sizeof(std::uint64_t) == 0 &&
         before.nbytes + span.nbytes <= longest_span_bytes;
}

}  // namespace

PageSpans::PageSpans(const PagePlan& plan, std::byte* memory, Share share)
    : plan_(plan), placement_(plan.placement()), memory_(memory), share_(share) {
  const std::int64_t row_bytes = placement_.row_bytes();
  const std::int64_t layer_rows = plan.rows_before().back();
  if (layer_rows == 0) return;
  layer_ = share.begin / (layer_rows * row_bytes);
  const std::int64_t row = share.begin / row_bytes - layer_ * layer_rows;
  const auto& before = plan.rows_before();
  run_ = static_cast<std::size_t>(std::upper_bound(before.begin(), before.end(), row) -
                                  before.begin() - 1);
  position_ = (layer_ * layer_rows + before[run_]) * row_bytes;
}

std::size_t PageSpans::next(Span* spans, std::size_t capacity) {
  std::size_t count = 0;
  while (count < capacity && position_ < share_.end) {
    const RowRun& run = plan_.runs()[run_];
    const Segment& segment = placement_.segments[segment_];
    const std::int64_t nbytes = run.rows * segment.row_bytes;
    const std::int64_t from = std::max(cut(share_.begin - position_, nbytes), handed_out_);
    const std::int64_t to = cut(share_.end - position_, nbytes);
    const std::int64_t end = std::min(to, from + longest_span_bytes);
    if (from < end) {
      std::byte* start = memory_ + placement_.base_bytes + layer_ * placement_.layer_stride_bytes +
                         run.block * placement_.block_stride_bytes + segment.offset_bytes +
                         run.first_row * segment.row_bytes;
      const Span span{start + from, static_cast<std::size_t>(end - from)};
      if (segment_ > 0 && count > 0 && continues(spans[count - 1], span)) {
        spans[count - 1].nbytes += span.nbytes;
      } else {
        spans[count++] = span;
      }
    }
    handed_out_ = end;
    if (end < to) continue;
    handed_out_ = 0;
    position_ += nbytes;
    advance();
  }
  return count;
}

void PageSpans::advance() {
  if (++segment_ < placement_.segments.size()) return;
  segment_ = 0;
  if (++run_ < plan_.runs().size()) return;
  run_ = 0;
  ++layer_;
}

}  // namespace kvprof
