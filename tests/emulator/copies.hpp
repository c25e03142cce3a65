// The checks that copies of the runtime and of the driver share, and the driver's batch of copies.
#pragma once
#include <cuda.h>
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

/// cuMemcpyBatchAsync as CUDA 12.8 has it; all copies have the same attributes.
CUresult copy_batch(CUdeviceptr* dsts, CUdeviceptr* srcs, std::size_t* sizes, std::size_t count,
                    CUmemcpyAttributes* attrs, std::size_t* attrIdxs, std::size_t numAttrs,
                    std::size_t* failIdx, CUstream hStream);

}  // namespace emulated
