// What the operating system says of this machine's memory.
#pragma once
#include <cstdint>

namespace kvprof {

/// Memory of this machine, or the limit of this process's control group where that is lower.
std::int64_t memory_bytes();

/// Memory that can be had now without swapping, within the limit of the control group.
std::int64_t available_memory_bytes();

}  // namespace kvprof
