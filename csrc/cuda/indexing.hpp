// Where each piece of work lies: pure arithmetic on addresses, alike on the host and on a device.
// A plan is cut on the host into tiles of one layer; on the device an item is a tile of some layer.
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#define KVPROF_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define KVPROF_HOST_DEVICE inline
#endif

namespace kvprof::cuda {

/// The most that a tile holds: what a warp has in flight at once, 8 loads of 16 bytes in each lane.
constexpr std::uint32_t tile_bytes = 4096;

constexpr std::uint32_t warp_lanes = 32;
constexpr std::uint32_t vector_bytes = 16;
constexpr std::uint32_t word_bytes = 8;

/// Bytes of a memory: 48 bits of offset, 16 of length, so that a list of them costs little to read.
struct Tile {
  std::uint64_t packed;
};

KVPROF_HOST_DEVICE Tile make_tile(std::uint64_t offset, std::uint32_t nbytes) {
  return {offset << 16 | nbytes};
}
KVPROF_HOST_DEVICE std::uint64_t offset_of(Tile tile) { return tile.packed >> 16; }
KVPROF_HOST_DEVICE std::uint32_t nbytes_of(Tile tile) {
  return static_cast<std::uint32_t>(tile.packed & 0xFFFF);
}

/// Consecutive bytes of an address space; none at the end of a walk.
struct Span {
  std::uint64_t address;
  std::uint32_t nbytes;
};

/// Consecutive bytes to copy.
struct Copy {
  std::uint64_t from;
  std::uint64_t to;
  std::uint32_t nbytes;
};

/// The tiles of one layer, in every layer.
struct ListedSpans {
  const Tile* tiles;
  std::int64_t count;
  std::int64_t layers;
  std::uint64_t base;
  std::int64_t layer_stride;

  KVPROF_HOST_DEVICE std::int64_t items() const { return count * layers; }
  KVPROF_HOST_DEVICE Span at(std::int64_t item) const {
    const std::int64_t layer = item / count;
    const Tile tile = tiles[item - layer * count];
    return {base + static_cast<std::uint64_t>(layer * layer_stride) + offset_of(tile),
            nbytes_of(tile)};
  }
};

/// One stretch of memory.
struct ContiguousSpans {
  std::uint64_t base;
  std::int64_t nbytes;

  KVPROF_HOST_DEVICE std::int64_t items() const { return (nbytes + tile_bytes - 1) / tile_bytes; }
  KVPROF_HOST_DEVICE Span at(std::int64_t item) const {
    const std::int64_t start = item * tile_bytes;
    const std::int64_t left = nbytes - start;
    return {base + static_cast<std::uint64_t>(start),
            left < tile_bytes ? static_cast<std::uint32_t>(left) : tile_bytes};
  }
};

struct CopyTile {
  Tile from;
  std::uint64_t to;
};

/// Tiles of one layer copied to others, in every layer.
struct ListedCopies {
  const CopyTile* tiles;
  std::int64_t count;
  std::int64_t layers;
  std::uint64_t from_base;
  std::uint64_t to_base;
  std::int64_t from_layer_stride;
  std::int64_t to_layer_stride;

  KVPROF_HOST_DEVICE std::int64_t items() const { return count * layers; }
  KVPROF_HOST_DEVICE Copy at(std::int64_t item) const {
    const std::int64_t layer = item / count;
    const CopyTile tile = tiles[item - layer * count];
    return {
        from_base + static_cast<std::uint64_t>(layer * from_layer_stride) + offset_of(tile.from),
        to_base + static_cast<std::uint64_t>(layer * to_layer_stride) + tile.to,
        nbytes_of(tile.from)};
  }
};

/// One stretch of memory copied to another.
struct ContiguousCopies {
  std::uint64_t from;
  std::uint64_t to;
  std::int64_t nbytes;

  KVPROF_HOST_DEVICE std::int64_t items() const { return ContiguousSpans{from, nbytes}.items(); }
  KVPROF_HOST_DEVICE Copy at(std::int64_t item) const {
    const Span span = ContiguousSpans{from, nbytes}.at(item);
    return {span.address, to + (span.address - from), span.nbytes};
  }
};

/// A piece of the row of one token: where it goes in a layer, and where it stands in the row.
struct AppendTile {
  Tile to;
  std::uint32_t token;
  std::uint32_t from;
};

/// Rows of a source scattered to their slots, in every layer: row t of layer l, of T tokens, is
/// source row (l * T + t) % source_rows.
struct ListedAppends {
  const AppendTile* tiles;
  std::int64_t count;
  std::int64_t layers;
  std::uint64_t to_base;
  std::int64_t layer_stride;
  std::int64_t tokens;
  std::uint64_t source;
  std::int64_t source_rows;
  std::int64_t source_row_bytes;

  KVPROF_HOST_DEVICE std::int64_t items() const { return count * layers; }
  KVPROF_HOST_DEVICE Copy at(std::int64_t item) const {
    const std::int64_t layer = item / count;
    const AppendTile tile = tiles[item - layer * count];
    const std::int64_t row = (layer * tokens + tile.token) % source_rows;
    return {source + static_cast<std::uint64_t>(row * source_row_bytes) + tile.from,
            to_base + static_cast<std::uint64_t>(layer * layer_stride) + offset_of(tile.to),
            nbytes_of(tile.to)};
  }
};

/// How items are dealt to the warps of a grid: in chunks of neighbours, so that a warp reads the
/// list in one go; chunk i goes to warp i % warps, and neighbouring warps are of different blocks.
struct Division {
  std::int64_t items;
  std::int64_t warps;
  std::int32_t chunk;

  KVPROF_HOST_DEVICE std::int64_t first(std::int64_t index) const { return index * chunk; }
  KVPROF_HOST_DEVICE std::uint32_t count(std::int64_t index) const {
    const std::int64_t left = items - first(index);
    if (left <= 0) return 0;
    return static_cast<std::uint32_t>(left < chunk ? left : chunk);
  }
};

/// Few items go to as many warps as there are; of many, a warp gets chunks of up to 32 neighbours,
/// whole steps of the `width` items that it takes at once.
KVPROF_HOST_DEVICE Division divide(std::int64_t items, std::int64_t warps, std::int32_t width) {
  constexpr std::int64_t chunks_a_warp = 8;
  const std::int64_t each = (items + warps - 1) / warps;
  if (each <= width) return {items, warps, static_cast<std::int32_t>(each < 1 ? 1 : each)};
  const std::int64_t even = items / (warps * chunks_a_warp);
  const std::int64_t steps = (even + width - 1) / width;
  const std::int64_t chunk = (steps < 1 ? 1 : steps) * width;
  return {items, warps, static_cast<std::int32_t>(chunk < warp_lanes ? chunk : warp_lanes)};
}

/// The widest access, 16, 8, 4 or 1 bytes, that an address allows; of several: of their
/// disjunction.
KVPROF_HOST_DEVICE std::uint32_t access_bytes(std::uint64_t addresses) {
  if (addresses % 16 == 0) return 16;
  if (addresses % 8 == 0) return 8;
  return addresses % 4 == 0 ? 4 : 1;
}

/// The part of `nbytes` that whole units of a power of two make up.
KVPROF_HOST_DEVICE std::uint32_t whole_units_bytes(std::uint32_t nbytes, std::uint32_t unit_bytes) {
  return nbytes & ~(unit_bytes - 1);
}

/// A value of a few bytes, `position` bytes into a run, as it stands in the run's 64-bit word.
KVPROF_HOST_DEVICE std::uint64_t in_word(std::uint64_t value, std::uint32_t position) {
  return value << (8 * (position % word_bytes));
}

/// What the word of a repeated pattern shows from `position` on, for an access that does not cross
/// the end of a word.
KVPROF_HOST_DEVICE std::uint64_t of_pattern(std::uint64_t pattern, std::uint32_t position) {
  return pattern >> (8 * (position % word_bytes));
}

}  // namespace kvprof::cuda
