// What allocations cost: timed on the host, since that is who waits for them.
#pragma once
#include <functional>

#include "device/backend.hpp"

namespace kvprof {

/// Allocates `count` times, looks by how much `available_bytes` has sunk, and frees all; then does
/// it again by the clock, since the first allocations of a process start things up and a pool has
/// to grow once. Where the device does not say what is available (a null function), it holds what
/// was asked. Throws what `allocate` does, std::invalid_argument for a count below 1.
AllocationCost cost_of_allocations(std::int64_t nbytes, std::int64_t count,
                                   const std::function<std::shared_ptr<void>()>& allocate,
                                   const std::function<std::int64_t()>& available_bytes);

}  // namespace kvprof
