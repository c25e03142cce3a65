// Memory pools: what they have taken from the device, and what of it is in use.
#pragma once
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace emulated {

/// Gives back what pools hold beyond their release threshold, as the driver does when the host
/// waits for the device.
void release_unused_pool_memory();
/// Pools that were created and not destroyed.
std::size_t pool_count();
/// The bytes of an allocation are free in its pool again.
void return_to_pool(cudaMemPool_t pool, std::size_t bytes);

}  // namespace emulated
