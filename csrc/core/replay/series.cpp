// Samples, sums and the fullest instant of a replay.
#include "core/replay/series.hpp"

namespace kvprof {

std::int64_t Series::ticks_to_sample(std::int64_t tick) const {
  return tick < next_sample_ ? next_sample_ - tick : interval_ - tick % interval_;
}

// The first sample of each interval stays.
void Series::thin() {
  interval_ *= 2;
  std::vector<Instant> kept;
  for (const Instant& sample : samples_) {
    if (kept.empty() || sample.tick / interval_ != kept.back().tick / interval_) {
      kept.push_back(sample);
    }
  }
  samples_.swap(kept);
}

bool Series::observe(const Instant& instant, const Shares& slopes, const Stretch& stretch) {
  const bool fuller = ticks_ == 0 || instant.shares.reserved() > fullest_.shares.reserved();
  if (fuller) fullest_ = instant;
  if (instant.tick >= next_sample_) {
    samples_.push_back(instant);
    while (samples_.size() > most_samples_) thin();
    next_sample_ = instant.tick - instant.tick % interval_ + interval_;
  }
  // Of n steps k = 0, 1, ... the sums of 1, k and k * k, each times what step k takes.
  const auto n = static_cast<Wide>(stretch.steps);
  const Wide first = n * (n - 1) / 2;
  const Wide second = first * (2 * n - 1) / 3;
  const Wide total = stretch.total();
  const Wide rising = stretch.ticks * first + stretch.slope * second;
  for (std::size_t i = 0; i < num_shares; ++i) {
    share_sums_[i] += total * instant.shares[i] + rising * slopes[i];
  }
  for (std::size_t i = 0; i < num_pool_shares; ++i) {
    pool_sums_[i] += total * instant.pool.shares[i];
  }
  shared_sum_ += total * instant.shared_bytes;
  live_sum_ += total * instant.live_sequences;
  ticks_ += static_cast<std::int64_t>(total);
  return fuller;
}

Means Series::means() const {
  Means means;
  if (ticks_ == 0) return means;
  const auto mean = [this](Wide sum) {
    return static_cast<double>(sum) / static_cast<double>(ticks_);
  };
  for (std::size_t i = 0; i < num_shares; ++i) means.shares[i] = mean(share_sums_[i]);
  for (std::size_t i = 0; i < num_pool_shares; ++i) means.pool[i] = mean(pool_sums_[i]);
  means.shared_bytes = mean(shared_sum_);
  means.live_sequences = mean(live_sum_);
  return means;
}

}  // namespace kvprof
