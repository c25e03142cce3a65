// Memory pools: what they have taken from the device, and what of it is in use.
#pragma once
#include <cstddef>

namespace emulated {

/// Gives back what pools hold beyond their release threshold, as the driver does when the host
/// waits for the device.
void release_unused_pool_memory();
/// Pools that were created and not destroyed.
std::size_t pool_count();

}  // namespace emulated
