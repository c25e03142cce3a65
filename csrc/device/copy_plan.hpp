// Pages to copy, from one place to another: within a memory (fork, copy-on-write) or between two
// (swap), which may lay the same blocks out in different orders.
#pragma once
#include "device/address_plan.hpp"

namespace kvprof {

/// What lies under `from` is copied to what lies under `to`, byte by byte in the order of the
/// plans.
class CopyPlan {
 public:
  /// Throws std::invalid_argument when the plans differ in layers, in the rows of a run or in the
  /// row_bytes of a segment, and when `to` overlaps itself.
  CopyPlan(PagePlan from, PagePlan to);

  const PagePlan& from() const noexcept { return from_; }
  const PagePlan& to() const noexcept { return to_; }

  std::uint64_t id() const noexcept { return id_; }  ///< as a PagePlan's

  /// Bytes that are copied; a copy reads and writes each of them.
  std::int64_t nbytes() const noexcept { return from_.nbytes(); }

  /// Whether the two may lie in one memory: no byte is both read and written.
  bool disjoint() const noexcept { return disjoint_; }

 private:
  std::uint64_t id_ = next_plan_id();
  PagePlan from_;
  PagePlan to_;
  bool disjoint_;
};

}  // namespace kvprof
