// The checks that copies of the runtime and of the driver share.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>

#include "memory.hpp"

namespace emulated {

struct Ends {
  Place source;
  Place destination;
};

Ends ends_of(const void* destination, const void* source, std::size_t bytes);

/// Whether ranges lie where kind says, wholly inside a live allocation each.
bool fits(Ends ends, cudaMemcpyKind kind);

}  // namespace emulated
