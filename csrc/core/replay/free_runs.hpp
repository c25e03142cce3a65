#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace kvprof {

/// A contiguous part of a memory, in units.
struct Run {
  std::int64_t offset = 0;
  std::int64_t units = 0;
};

enum class Fit {
  first,  ///< the lowest free run that is long enough
  best,   ///< the shortest one, of equal ones the lowest
  buddy,  ///< runs of a power of two of units, halved and joined (Knowlton, CACM 1965)
};

/// Contiguous runs of a memory of `units` units.
class RunAllocator {
 public:
  RunAllocator() = default;
  RunAllocator(const RunAllocator&) = delete;
  RunAllocator& operator=(const RunAllocator&) = delete;
  virtual ~RunAllocator() = default;

  /// A run of at least `units` units, or nothing when no free run is long enough. @pre units > 0
  virtual std::optional<Run> allocate(std::int64_t units) = 0;
  /// @pre the run came from allocate and was not freed since
  virtual void free(const Run& run) = 0;
  virtual std::int64_t free_units() const = 0;
  virtual std::int64_t largest_free_run() const = 0;
  /// Units that a run of at least `units` has.
  virtual std::int64_t rounded(std::int64_t units) const = 0;
};

/// First fit and best fit. Freed runs join their neighbours.
class FreeRuns final : public RunAllocator {
 public:
  FreeRuns(std::int64_t units, Fit fit);

  std::optional<Run> allocate(std::int64_t units) override;
  void free(const Run& run) override;
  std::int64_t free_units() const override { return free_units_; }
  std::int64_t largest_free_run() const override;
  std::int64_t rounded(std::int64_t units) const override { return units; }

 private:
  using Runs = std::map<std::int64_t, std::int64_t>;

  Runs::iterator find(std::int64_t units);
  void insert(std::int64_t offset, std::int64_t units);
  void erase(Runs::iterator run);
  void change(Runs::iterator run, const Run& to);

  Fit fit_;
  Runs by_offset_;
  std::set<std::pair<std::int64_t, std::int64_t>> by_length_;
  std::int64_t free_units_;
};

/// A memory that is no power of two begins as the powers of two that it is made of.
class Buddies final : public RunAllocator {
 public:
  explicit Buddies(std::int64_t units);

  std::optional<Run> allocate(std::int64_t units) override;
  void free(const Run& run) override;
  std::int64_t free_units() const override { return free_units_; }
  std::int64_t largest_free_run() const override;
  std::int64_t rounded(std::int64_t units) const override;

 private:
  static constexpr std::size_t num_orders = 63;

  std::int64_t units_;
  std::int64_t free_units_;
  std::array<std::set<std::int64_t>, num_orders> free_;
};

std::unique_ptr<RunAllocator> make_runs(std::int64_t units, Fit fit);

}  // namespace kvprof
