#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/replay/pace.hpp"
#include "core/replay/policy.hpp"
#include "core/replay/shares.hpp"

namespace kvprof {

/// What a replay looked like at one tick.
struct Instant {
  std::int64_t tick = 0;
  std::int64_t live_sequences = 0;
  bool waits = false;  ///< whether a request that has arrived waits for memory
  /// Of prompt tokens asked for so far, those that a prefix cache served.
  std::int64_t hit_tokens = 0;
  std::int64_t queried_tokens = 0;
  Shares shares;                  ///< shared bytes counted once
  std::int64_t shared_bytes = 0;  ///< what sharing saves
  PoolState pool;
};

/// Averages over time.
struct Means {
  std::array<double, num_shares> shares{};
  std::array<double, num_pool_shares> pool{};
  double shared_bytes = 0;
  double live_sequences = 0;
};

/// Instants of a replay in bounded memory: evenly spaced samples, sums, the fullest one.
///
/// There is one sample in each `interval` ticks at most, the first instant in them; the
/// interval doubles whenever there are too many.
class Series {
 public:
  explicit Series(std::size_t most_samples) : most_samples_(most_samples) {}

  /// How many ticks from `tick` on need no sample.
  std::int64_t ticks_to_sample(std::int64_t tick) const;

  /// The instant holds for those steps, while its shares change by `slopes` with each of them.
  /// Between two calls blocks come and go; during one nothing but the shares changes.
  ///
  /// @return whether it is fuller than all before
  bool observe(const Instant& instant, const Shares& slopes, const Stretch& stretch);

  /// What was there before anything happened: the fullest instant where nothing ever does.
  void start(const Instant& instant) { fullest_ = instant; }

  const std::vector<Instant>& samples() const { return samples_; }
  const Instant& fullest() const { return fullest_; }
  std::int64_t ticks() const { return ticks_; }
  Means means() const;

 private:
  using Wide = Stretch::Wide;  // bytes times ticks

  void thin();

  std::size_t most_samples_;
  std::vector<Instant> samples_;
  std::int64_t interval_ = 1;
  std::int64_t next_sample_ = 0;
  std::int64_t ticks_ = 0;
  Instant fullest_;
  std::array<Wide, num_shares> share_sums_{};
  std::array<Wide, num_pool_shares> pool_sums_{};
  Wide shared_sum_ = 0;
  Wide live_sum_ = 0;
};

}  // namespace kvprof
