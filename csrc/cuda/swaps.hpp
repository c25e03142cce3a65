// Swaps that the driver's copy engines do.
#pragma once
#include <cuda_runtime_api.h>

#include <string>
#include <vector>

#include "cuda/launch.hpp"
#include "device/backend.hpp"

namespace kvprof::cuda {

/// `batched` where the driver serves it, `kernel`, `per_block`.
std::vector<std::string> swap_variants();

/// Addresses are worked out now; what is returned submits the copies to the stream, each contiguous
/// piece by a call of its own or all of them in one, and throws DeviceFault.
Work copies_by_the_driver(const Memory& from, const Memory& to, const CopyPlan& plan, bool batched,
                          cudaStream_t stream);

}  // namespace kvprof::cuda
