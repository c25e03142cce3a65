#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace kvprof {

/// What the bytes reserved for a sequence are: their sum is what is reserved.
enum RequestShare : std::size_t {
  logical_share,
  convention_share,
  window_slack_share,
  reserved_for_later_share,
  never_used_share,
  lookahead_share,
  tail_share,
  state_alignment_share,
  padding_share,
  group_padding_share,
  num_shares,
};

/// Bytes by share. Signed: a convention may keep less than is needed.
struct Shares {
  std::array<std::int64_t, num_shares> bytes{};

  std::int64_t& operator[](std::size_t share) { return bytes[share]; }
  std::int64_t operator[](std::size_t share) const { return bytes[share]; }

  /// Add `times` of another's bytes.
  void add(const Shares& other, std::int64_t times = 1) {
    for (std::size_t i = 0; i < num_shares; ++i) bytes[i] += times * other.bytes[i];
  }

  std::int64_t reserved() const {
    std::int64_t sum = 0;
    for (const std::int64_t share : bytes) sum += share;
    return sum;
  }
};

/// What the bytes of the memory are: their sum is its capacity.
enum PoolShare : std::size_t {
  reserved_pool,
  reclaimable_pool,
  free_pool,
  external_pool,
  remainder_pool,
  reserved_blocks_pool,
  imbalance_pool,
  num_pool_shares,
};

using PoolShares = std::array<std::int64_t, num_pool_shares>;

}  // namespace kvprof
