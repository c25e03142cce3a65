#include "cuda/tiles.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

namespace kvprof::cuda {
namespace {

constexpr std::int64_t offset_limit = std::int64_t{1} << 48;
constexpr std::int64_t uint32_limit = std::int64_t{1} << 32;

void refuse_from(std::int64_t limit, std::int64_t value, const char* what) {
  if (value >= limit) {
    throw std::invalid_argument(std::string(what) + " is " + std::to_string(value) +
                                ", a CUDA kernel takes less than " + std::to_string(limit));
  }
}

/// Calls visit(start, nbytes) on the tiles of `nbytes` bytes; start is within them.
template <class Visit>
void cut(std::int64_t nbytes, Visit visit) {
  for (std::int64_t start = 0; start < nbytes; start += tile_bytes) {
    visit(start, static_cast<std::uint32_t>(std::min<std::int64_t>(tile_bytes, nbytes - start)));
  }
}

std::int64_t start_of(const Placement& placement, const RowRun& run, const Segment& segment) {
  return run.block * placement.block_stride_bytes + segment.offset_bytes +
         run.first_row * segment.row_bytes;
}

/// Whether two segments of a run are as good as one: the words of a checksum must not shift.
bool continues(std::int64_t start, std::int64_t nbytes, std::int64_t next) {
  return start + nbytes == next && nbytes % word_bytes == 0;
}

}  // namespace

std::vector<Tile> tiles_of(const PagePlan& plan) {
  const Placement& placement = plan.placement();
  refuse_from(offset_limit, plan.extent_bytes(), "the extent");
  std::vector<Tile> tiles;
  for (const RowRun& run : plan.runs()) {
    if (run.rows == 0) continue;
    std::int64_t start = 0;
    std::int64_t nbytes = 0;
    const auto flush = [&] {
      cut(nbytes, [&](std::int64_t at, std::uint32_t size) {
        tiles.push_back(make_tile(static_cast<std::uint64_t>(start + at), size));
      });
    };
    for (const Segment& segment : placement.segments) {
      const std::int64_t next = start_of(placement, run, segment);
      if (nbytes > 0 && continues(start, nbytes, next)) {
        nbytes += run.rows * segment.row_bytes;
        continue;
      }
      flush();
      start = next;
      nbytes = run.rows * segment.row_bytes;
    }
    flush();
  }
  return tiles;
}

std::vector<Piece> pieces_of(const CopyPlan& plan) {
  const Placement& from = plan.from().placement();
  const Placement& to = plan.to().placement();
  std::vector<Piece> pieces;
  for (std::size_t r = 0; r < plan.from().runs().size(); ++r) {
    const RowRun& read = plan.from().runs()[r];
    const RowRun& written = plan.to().runs()[r];
    if (read.rows == 0) continue;
    for (std::size_t s = 0; s < from.segments.size(); ++s) {
      const Piece piece{start_of(from, read, from.segments[s]),
                        start_of(to, written, to.segments[s]),
                        read.rows * from.segments[s].row_bytes};
      if (!pieces.empty()) {
        Piece& last = pieces.back();
        if (last.from + last.nbytes == piece.from && last.to + last.nbytes == piece.to) {
          last.nbytes += piece.nbytes;
          continue;
        }
      }
      pieces.push_back(piece);
    }
  }
  return pieces;
}

std::vector<CopyTile> tiles_of(const CopyPlan& plan) {
  refuse_from(offset_limit, plan.from().extent_bytes(), "the extent");
  refuse_from(offset_limit, plan.to().extent_bytes(), "the extent");
  std::vector<CopyTile> tiles;
  for (const Piece& piece : pieces_of(plan)) {
    cut(piece.nbytes, [&](std::int64_t at, std::uint32_t size) {
      tiles.push_back({make_tile(static_cast<std::uint64_t>(piece.from + at), size),
                       static_cast<std::uint64_t>(piece.to + at)});
    });
  }
  return tiles;
}

std::vector<AppendTile> tiles_of(const SlotPlan& plan) {
  const Placement& placement = plan.placement();
  refuse_from(offset_limit, plan.extent_bytes(), "the extent");
  refuse_from(uint32_limit, plan.tokens(), "the number of tokens");
  refuse_from(uint32_limit, placement.row_bytes(), "a row");
  std::vector<AppendTile> tiles;
  for (const SlotWrite& write : plan.writes()) {
    std::int64_t from = 0;
    for (const Segment& segment : placement.segments) {
      const std::int64_t to =
          write.block_bytes + segment.offset_bytes + write.row * segment.row_bytes;
      cut(segment.row_bytes, [&](std::int64_t at, std::uint32_t size) {
        tiles.push_back({make_tile(static_cast<std::uint64_t>(to + at), size),
                         static_cast<std::uint32_t>(write.token),
                         static_cast<std::uint32_t>(from + at)});
      });
      from += segment.row_bytes;
    }
  }
  return tiles;
}

}  // namespace kvprof::cuda
