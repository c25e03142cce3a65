// Address plans in, tiles out: the list that a kernel walks in every layer.
#pragma once
#include <vector>

#include "cuda/indexing.hpp"
#include "device/copy_plan.hpp"

namespace kvprof::cuda {

/// Offsets are from the placement's base. A run is cut at multiples of `tile_bytes` from its start,
/// so that the words of a checksum are the same however it is cut; segments of a run that lie one
/// behind the other are one run. All throw std::invalid_argument for an offset of 2**48 and more.
std::vector<Tile> tiles_of(const PagePlan& plan);

std::vector<CopyTile> tiles_of(const CopyPlan& plan);

/// The row of a token is cut where a segment ends. Throws also for 2**32 tokens, or a row of 2**32
/// bytes, and more.
std::vector<AppendTile> tiles_of(const SlotPlan& plan);

/// Whole pieces of a copy, as long as they are contiguous on both sides, in every layer.
struct Piece {
  std::int64_t from;
  std::int64_t to;
  std::int64_t nbytes;
};

std::vector<Piece> pieces_of(const CopyPlan& plan);

}  // namespace kvprof::cuda
