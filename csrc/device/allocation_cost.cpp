#include "device/allocation_cost.hpp"

#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace kvprof {
namespace {

template <class Work>
double seconds_of(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

AllocationCost cost_of_allocations(std::int64_t nbytes, std::int64_t count,
                                   const std::function<std::shared_ptr<void>()>& allocate,
                                   const std::function<std::int64_t()>& available_bytes) {
  if (count < 1) {
    throw std::invalid_argument("count is " + std::to_string(count) + ", it must be at least 1");
  }
  const auto each = static_cast<double>(count);
  std::vector<std::shared_ptr<void>> held;
  held.reserve(static_cast<std::size_t>(count));
  const auto allocate_all = [&] {
    for (std::int64_t i = 0; i < count; ++i) held.push_back(allocate());
  };
  AllocationCost cost;
  cost.asked_bytes = nbytes * count;
  const std::int64_t before = available_bytes ? available_bytes() : 0;
  allocate_all();
  cost.held_bytes = available_bytes ? before - available_bytes() : cost.asked_bytes;
  held.clear();
  cost.allocate_seconds = seconds_of(allocate_all) / each;
  cost.free_seconds = seconds_of([&] { held.clear(); }) / each;
  return cost;
}

}  // namespace kvprof
