// The index arithmetic of the CUDA backend, run on the host: plans to tiles, items to addresses,
// items to warps, accesses by alignment. Each is compared with the bytes of the plan, one by one.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "cuda/indexing.hpp"
#include "cuda/tiles.hpp"

namespace {

using namespace kvprof;
using namespace kvprof::cuda;

using Addresses = std::vector<std::uint64_t>;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "check_indexing: %s\n", what);
  std::exit(1);
}

struct Case {
  Placement placement;
  std::int64_t rows_per_block;
  std::vector<RowRun> runs;
};

/// Caches with segments that touch or do not, pages below and above a tile, layers inside or out.
Case draw(std::mt19937& random) {
  const auto pick = [&](std::int64_t least, std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(least, most)(random);
  };
  Case drawn;
  drawn.rows_per_block = pick(1, 40);
  const std::int64_t blocks = pick(1, 12);
  const std::int64_t layers = pick(1, 3);
  std::int64_t page = 0;
  for (std::int64_t s = pick(1, 3); s > 0; --s) {
    const std::int64_t row = pick(0, 1) ? pick(1, 700) : pick(1, 60) * 16;
    drawn.placement.segments.push_back({page, row});
    page += drawn.rows_per_block * row + (pick(0, 2) == 0 ? pick(0, 40) : 0);
  }
  const bool blocks_first = pick(0, 1) == 1;
  drawn.placement.base_bytes = pick(0, 40);
  drawn.placement.layers = layers;
  drawn.placement.layer_stride_bytes = blocks_first ? page : page * blocks;
  drawn.placement.block_stride_bytes = blocks_first ? page * layers : page;
  for (std::int64_t block = 0; block < blocks; ++block) {
    if (pick(0, 3) == 0) continue;
    const std::int64_t first = pick(0, drawn.rows_per_block - 1);
    drawn.runs.push_back({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(first),
                          static_cast<std::uint32_t>(pick(0, drawn.rows_per_block - first))});
  }
  return drawn;
}

/// Every byte under a plan, and its place in its 64-bit word, by the definition of a plan.
void expand(const PagePlan& plan, std::uint64_t base, Addresses& bytes, Addresses& places) {
  const Placement& p = plan.placement();
  for (std::int64_t layer = 0; layer < p.layers; ++layer) {
    for (const RowRun& run : plan.runs()) {
      for (const Segment& segment : p.segments) {
        const std::int64_t start = p.base_bytes + layer * p.layer_stride_bytes +
                                   run.block * p.block_stride_bytes + segment.offset_bytes +
                                   run.first_row * segment.row_bytes;
        for (std::int64_t i = 0; i < run.rows * segment.row_bytes; ++i) {
          bytes.push_back(base + static_cast<std::uint64_t>(start + i));
          places.push_back(static_cast<std::uint64_t>(i) % word_bytes);
        }
      }
    }
  }
}

void check_spans(const Case& drawn) {
  const PagePlan plan(drawn.placement, drawn.runs);
  const std::uint64_t base = 1 << 20;
  Addresses bytes;
  Addresses places;
  expand(plan, base, bytes, places);
  const std::vector<Tile> tiles = tiles_of(plan);
  const ListedSpans spans{tiles.data(), static_cast<std::int64_t>(tiles.size()),
                          drawn.placement.layers,
                          base + static_cast<std::uint64_t>(drawn.placement.base_bytes),
                          drawn.placement.layer_stride_bytes};
  std::size_t at = 0;
  for (std::int64_t item = 0; item < spans.items(); ++item) {
    const Span span = spans.at(item);
    require(span.nbytes > 0 && span.nbytes <= tile_bytes, "a tile is empty or too long");
    for (std::uint32_t i = 0; i < span.nbytes; ++i, ++at) {
      require(at < bytes.size() && span.address + i == bytes[at], "a tile covers the wrong byte");
      require(i % word_bytes == places[at], "a tile shifts the words of a checksum");
    }
  }
  require(at == bytes.size(), "tiles do not cover the plan");
}

void check_copies(const Case& drawn, std::mt19937& random) {
  Case moved = drawn;
  moved.placement.base_bytes = drawn.placement.base_bytes + 3;
  std::shuffle(moved.runs.begin(), moved.runs.end(), random);
  for (std::size_t i = 0; i < moved.runs.size(); ++i) moved.runs[i].rows = drawn.runs[i].rows;
  for (RowRun& run : moved.runs) run.first_row = 0;
  const CopyPlan plan(PagePlan(drawn.placement, drawn.runs), PagePlan(moved.placement, moved.runs));
  Addresses from;
  Addresses to;
  Addresses ignored;
  expand(plan.from(), 1 << 20, from, ignored);
  expand(plan.to(), 1 << 28, to, ignored);
  std::map<std::uint64_t, std::uint64_t> expected;
  for (std::size_t i = 0; i < to.size(); ++i) expected[to[i]] = from[i];

  const std::vector<CopyTile> tiles = tiles_of(plan);
  const ListedCopies copies{tiles.data(),
                            static_cast<std::int64_t>(tiles.size()),
                            drawn.placement.layers,
                            (1 << 20) + static_cast<std::uint64_t>(drawn.placement.base_bytes),
                            (1 << 28) + static_cast<std::uint64_t>(moved.placement.base_bytes),
                            drawn.placement.layer_stride_bytes,
                            moved.placement.layer_stride_bytes};
  std::map<std::uint64_t, std::uint64_t> found;
  for (std::int64_t item = 0; item < copies.items(); ++item) {
    const Copy copy = copies.at(item);
    require(copy.nbytes > 0 && copy.nbytes <= tile_bytes, "a copy is empty or too long");
    for (std::uint32_t i = 0; i < copy.nbytes; ++i) {
      require(found.emplace(copy.to + i, copy.from + i).second, "a byte is written twice");
    }
  }
  require(found == expected, "tiles copy the wrong bytes");

  std::int64_t total = 0;
  for (const Piece& piece : pieces_of(plan)) total += piece.nbytes;
  require(total * drawn.placement.layers == plan.nbytes(), "pieces do not cover the copy");
}

void check_appends(const Case& drawn, std::mt19937& random) {
  const std::int64_t blocks = 12;
  std::vector<std::int64_t> slots(static_cast<std::size_t>(blocks * drawn.rows_per_block));
  std::iota(slots.begin(), slots.end(), 0);
  std::shuffle(slots.begin(), slots.end(), random);
  slots.resize(slots.size() / 2 + 1);
  slots[0] = -1;
  Placement placement = drawn.placement;
  placement.block_stride_bytes =
      std::max(placement.block_stride_bytes, placement.layer_stride_bytes * placement.layers);
  if (placement.block_stride_bytes < placement.layer_stride_bytes) return;
  placement.layer_stride_bytes =
      placement.layers > 1 ? placement.block_stride_bytes * blocks : placement.layer_stride_bytes;
  const SlotPlan plan(placement, drawn.rows_per_block, slots);
  const std::int64_t row_bytes = placement.row_bytes();
  const std::int64_t source_rows = 5;

  std::map<std::uint64_t, std::uint64_t> expected;
  const auto tokens = static_cast<std::int64_t>(slots.size());
  for (std::int64_t layer = 0; layer < placement.layers; ++layer) {
    for (std::int64_t token = 0; token < tokens; ++token) {
      const std::int64_t slot = slots[static_cast<std::size_t>(token)];
      if (slot < 0) continue;
      std::int64_t from = (layer * tokens + token) % source_rows * row_bytes;
      for (const Segment& segment : placement.segments) {
        const std::int64_t to = placement.base_bytes + layer * placement.layer_stride_bytes +
                                slot / drawn.rows_per_block * placement.block_stride_bytes +
                                segment.offset_bytes +
                                slot % drawn.rows_per_block * segment.row_bytes;
        for (std::int64_t i = 0; i < segment.row_bytes; ++i) {
          expected[static_cast<std::uint64_t>(to + i)] = static_cast<std::uint64_t>(from + i);
        }
        from += segment.row_bytes;
      }
    }
  }
  const std::vector<AppendTile> tiles = tiles_of(plan);
  const ListedAppends appends{tiles.data(),
                              static_cast<std::int64_t>(tiles.size()),
                              placement.layers,
                              static_cast<std::uint64_t>(placement.base_bytes),
                              placement.layer_stride_bytes,
                              plan.tokens(),
                              0,
                              source_rows,
                              row_bytes};
  std::map<std::uint64_t, std::uint64_t> found;
  for (std::int64_t item = 0; item < appends.items(); ++item) {
    const Copy copy = appends.at(item);
    for (std::uint32_t i = 0; i < copy.nbytes; ++i) found[copy.to + i] = copy.from + i;
  }
  require(found == expected, "an append writes the wrong bytes");
}

void check_contiguous() {
  for (std::int64_t nbytes : {0, 1, 15, 4095, 4096, 4097, 8192, 100'003}) {
    std::int64_t covered = 0;
    const ContiguousCopies copies{7, 1 << 20, nbytes};
    for (std::int64_t item = 0; item < copies.items(); ++item) {
      const Copy copy = copies.at(item);
      require(copy.from == 7 + static_cast<std::uint64_t>(covered) &&
                  copy.to == (1 << 20) + static_cast<std::uint64_t>(covered),
              "a contiguous copy has a gap");
      covered += copy.nbytes;
    }
    require(covered == nbytes, "contiguous tiles do not cover their bytes");
  }
}

/// Every item goes to one lane of one warp, in chunks that a warp's lanes can hold.
void check_division() {
  for (std::int64_t warps : {1, 2, 7, 64, 4224}) {
    for (std::int64_t items = 0; items < 3000; items += items < 300 ? 1 : 97) {
      const std::int32_t width = items % 3 == 0 ? 1 : items % 3 == 1 ? 4 : 8;
      const Division division = divide(items, warps, width);
      require(division.chunk >= 1 && division.chunk <= static_cast<std::int32_t>(warp_lanes),
              "a chunk does not fit a warp");
      require(division.chunk % width == 0 || items <= warps * division.chunk,
              "a warp takes fewer items at once than it could");
      std::vector<int> seen(static_cast<std::size_t>(items));
      for (std::int64_t warp = 0; warp < warps; ++warp) {
        for (std::int64_t c = warp; division.count(c) > 0; c += warps) {
          for (std::uint32_t lane = 0; lane < division.count(c); ++lane) {
            ++seen[static_cast<std::size_t>(division.first(c) + lane)];
          }
        }
      }
      for (const int times : seen) require(times == 1, "an item is not dealt once");
    }
  }
}

void check_accesses() {
  for (std::uint64_t address = 0; address < 256; ++address) {
    const std::uint32_t unit = access_bytes(address);
    require(address % unit == 0, "an access is not aligned");
    require(unit == 16 || address % (unit == 1 ? 4 : 2 * unit) != 0, "an access could be wider");
    for (std::uint32_t nbytes = 0; nbytes < 100; ++nbytes) {
      const std::uint32_t whole = whole_units_bytes(nbytes, unit);
      require(whole % unit == 0 && whole <= nbytes && nbytes - whole < unit, "a tail is wrong");
    }
  }
  for (std::uint32_t position = 0; position < 64; ++position) {
    const std::uint64_t pattern = 0x0807060504030201;
    require(static_cast<std::uint8_t>(of_pattern(pattern, position)) == position % 8 + 1,
            "a pattern is shifted wrongly");
    require(in_word(1, position) == std::uint64_t{1} << (8 * (position % 8)),
            "a byte has the wrong place in its word");
  }
  for (const std::uint64_t offset :
       {std::uint64_t{0}, std::uint64_t{1}, (std::uint64_t{1} << 48) - 1}) {
    for (const std::uint32_t nbytes : {0U, 1U, tile_bytes}) {
      const Tile tile = make_tile(offset, nbytes);
      require(offset_of(tile) == offset && nbytes_of(tile) == nbytes, "a tile loses bits");
    }
  }
}

void check_limits() {
  const auto refused = [](auto make) {
    try {
      make();
    } catch (const std::invalid_argument&) {
      return true;
    }
    return false;
  };
  const Placement far{std::int64_t{1} << 48, 0, 0, 1, {{0, 16}}};
  require(refused([&] { tiles_of(PagePlan(far, {{0, 0, 1}})); }), "an offset of 2**48 is taken");
  require(refused([&] { tiles_of(SlotPlan(far, 1, {0})); }), "a slot at 2**48 is taken");
  const Placement wide{0, 0, 0, 1, {{0, std::int64_t{1} << 32}}};
  require(refused([&] { tiles_of(SlotPlan(wide, 1, {0})); }), "a row of 2**32 bytes is taken");
}

}  // namespace

int main() {
  std::mt19937 random(1);
  check_accesses();
  check_contiguous();
  check_division();
  check_limits();
  for (int i = 0; i < 60; ++i) {
    const Case drawn = draw(random);
    check_spans(drawn);
    check_copies(drawn, random);
    check_appends(drawn, random);
  }
  std::puts("check_indexing: all as it should be");
}
