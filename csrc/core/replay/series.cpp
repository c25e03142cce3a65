// Samples, sums and the fullest instant of a replay.
#include "core/replay/series.hpp"

namespace kvprof {

std::int64_t Series::steps_to_sample(std::int64_t step) const {
  return step < next_sample_ ? next_sample_ - step : interval_ - step % interval_;
}

bool Series::observe(const Instant& instant, const Shares& slopes, std::int64_t steps) {
  const bool fuller = steps_ == 0 || instant.shares.reserved() > fullest_.shares.reserved();
  if (fuller) fullest_ = instant;
  if (instant.step >= next_sample_ && instant.step % interval_ == 0) {
    samples_.push_back(instant);
    if (samples_.size() > most_samples_) {
      interval_ *= 2;
      std::vector<Instant> kept;
      for (const Instant& sample : samples_) {
        if (sample.step % interval_ == 0) kept.push_back(sample);
      }
      samples_.swap(kept);
    }
    next_sample_ = instant.step - instant.step % interval_ + interval_;
  }
  const auto n = static_cast<Wide>(steps);
  for (std::size_t i = 0; i < num_shares; ++i) {
    share_sums_[i] += n * instant.shares[i] + n * (n - 1) / 2 * slopes[i];
  }
  for (std::size_t i = 0; i < num_pool_shares; ++i) pool_sums_[i] += n * instant.pool.shares[i];
  shared_sum_ += n * instant.shared_bytes;
  live_sum_ += n * instant.live_sequences;
  steps_ += steps;
  return fuller;
}

Means Series::means() const {
  Means means;
  if (steps_ == 0) return means;
  const auto mean = [this](Wide sum) {
    return static_cast<double>(sum) / static_cast<double>(steps_);
  };
  for (std::size_t i = 0; i < num_shares; ++i) means.shares[i] = mean(share_sums_[i]);
  for (std::size_t i = 0; i < num_pool_shares; ++i) means.pool[i] = mean(pool_sums_[i]);
  means.shared_bytes = mean(shared_sum_);
  means.live_sequences = mean(live_sum_);
  return means;
}

}  // namespace kvprof
