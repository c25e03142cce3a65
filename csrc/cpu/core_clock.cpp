#include "cpu/core_clock.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace kvprof {
namespace {

constexpr int tries = 3;
constexpr int multiplications = 4096;
constexpr double cycles_each = 3;

double chain_seconds() {
  using Clock = std::chrono::steady_clock;
  std::uint64_t value = 3;
  const auto begin = Clock::now();
  for (int i = 0; i < multiplications; ++i) {
    value *= value;
    asm volatile("" : "+r"(value));  // so that the compiler cannot fold the chain
  }
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

double core_clock_hz() {
  double shortest = chain_seconds();
  for (int i = 1; i < tries; ++i) shortest = std::min(shortest, chain_seconds());
  return multiplications * cycles_each / shortest;
}

}  // namespace kvprof
