#pragma once
#include <cstdint>
#include <vector>

#include "core/replay/blocks_plan.hpp"
#include "core/replay/cache_rule.hpp"
#include "core/replay/pace.hpp"

// Absurd plans are refused before they are used: nothing that the longest request takes may leave
// 64 bits, by so much that neither do sums over what fits a memory.
namespace kvprof {

/// @throw std::invalid_argument when the rows of caches take 2**60 bytes or more at that length
void check_rows(const std::vector<CacheRule>& caches, const Lengths& longest);

/// @throw std::invalid_argument when blocks of a sequence, or what they hold, are 2**60 or more, or
/// the pools are larger than the memory
void check_limits(const BlocksPlan& plan);

/// @throw std::invalid_argument when a step moves 2**60 bytes or more for one sequence
void check_limits(const StepTraffic& traffic);

}  // namespace kvprof
