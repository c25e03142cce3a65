// What kernels reach through PTX on a device: dynamic shared memory, timers, memory barriers and
// bulk copies. A misuse that faults or corrupts on a device aborts the kernel here.
#pragma once
#include <cstddef>
#include <cstdint>

namespace emulated {

/// The running block's dynamic shared memory, aligned to 128 bytes and full of 0xff at its start.
std::byte* shared_memory();
std::uint64_t global_timer_ns();
unsigned sm_id();

/// A barrier in shared memory, whose phase ends when count threads have arrived and all expected
/// bytes have come.
void mbarrier_init(std::uint64_t* bar, unsigned count);
void mbarrier_arrive_expect_tx(std::uint64_t* bar, unsigned bytes);

/// True once the phase of that parity has ended. Otherwise copies in flight to this barrier are
/// made, the other threads of the block run, and it is false even if the phase has ended by then.
bool mbarrier_test_parity(std::uint64_t* bar, unsigned parity);

/// Starts a copy of global into shared memory. It is made as late as can be: when a thread finds
/// that bar's phase has not ended. A block that ends before that has a fault.
void bulk_copy_to_shared(void* shared, const void* global, unsigned bytes, std::uint64_t* bar);

}  // namespace emulated
