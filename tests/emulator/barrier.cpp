// Memory barriers and the bulk copies that complete on them. A barrier's state is in its 8 bytes.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "block.hpp"
#include "memory.hpp"

namespace emulated {
namespace {

constexpr std::uint32_t kMark = 0x15a;

struct State {
  std::uint32_t phase : 1;
  std::uint32_t count : 11;    ///< arrivals that a phase needs
  std::uint32_t missing : 11;  ///< of them, in this phase
  std::uint32_t mark : 9;      ///< kMark in an initialized barrier
  std::int32_t bytes;          ///< expected and not there yet
};
static_assert(sizeof(State) == sizeof(std::uint64_t));

[[noreturn]] void fail(cudaError_t error, const char* why) {
  BlockRunner::current().fail(error, why);
}

bool is_aligned(const void* address, std::size_t unit) {
  return reinterpret_cast<std::uintptr_t>(address) % unit == 0;
}

State load(const std::uint64_t* bar) {
  if (!is_aligned(bar, 8)) fail(cudaErrorMisalignedAddress, "a barrier is not aligned to 8 bytes");
  State state;
  std::memcpy(&state, bar, sizeof(state));
  if (state.mark != kMark) fail(cudaErrorLaunchFailure, "a barrier was not initialized");
  return state;
}

/// Ends the phase where nothing is missing, then keeps the state.
void store(std::uint64_t* bar, State state) {
  if (state.missing == 0 && state.bytes == 0) {
    state.phase ^= 1u;
    state.missing = state.count;
  }
  std::memcpy(bar, &state, sizeof(state));
}

void make_copies(const std::uint64_t* bar) {
  std::vector<BulkCopy>& copies = BlockRunner::current().copies();
  const auto due = std::stable_partition(copies.begin(), copies.end(),
                                         [bar](const BulkCopy& c) { return c.barrier != bar; });
  if (due == copies.end()) return;
  const std::vector<BulkCopy> making(due, copies.end());
  copies.erase(due, copies.end());
  for (const BulkCopy& copy : making) {
    std::memcpy(copy.destination, copy.source, copy.bytes);
    State state = load(copy.barrier);
    state.bytes -= static_cast<std::int32_t>(copy.bytes);
    store(copy.barrier, state);
  }
  BlockRunner::current().progress();
}

}  // namespace

void mbarrier_init(std::uint64_t* bar, unsigned count) {
  if (!is_aligned(bar, 8)) fail(cudaErrorMisalignedAddress, "a barrier is not aligned to 8 bytes");
  if (!BlockRunner::current().is_shared(bar, 8))
    fail(cudaErrorIllegalAddress, "a barrier is not in shared memory");
  if (count == 0 || count > 1024) fail(cudaErrorLaunchFailure, "a barrier counts no such number");
  State state{};
  state.count = state.missing = count & 0x7ffu;
  state.mark = kMark;
  std::memcpy(bar, &state, sizeof(state));
}

void mbarrier_arrive_expect_tx(std::uint64_t* bar, unsigned bytes) {
  State state = load(bar);
  if (state.missing == 0) fail(cudaErrorLaunchFailure, "more arrivals than the barrier counts");
  --state.missing;
  state.bytes += static_cast<std::int32_t>(bytes);
  store(bar, state);
  BlockRunner::current().progress();
}

bool mbarrier_test_parity(std::uint64_t* bar, unsigned parity) {
  BlockRunner& runner = BlockRunner::current();
  // The phase of a parity has ended when the present one has the other.
  if (load(bar).phase != (parity & 1u)) {
    runner.progress();
    return true;
  }
  make_copies(bar);
  runner.yield_waiting();
  return false;
}

void bulk_copy_to_shared(void* shared, const void* global, unsigned bytes, std::uint64_t* bar) {
  if (!is_aligned(shared, 16) || !is_aligned(global, 16) || bytes % 16 != 0) {
    fail(cudaErrorMisalignedAddress, "a bulk copy is not of whole, aligned 16 bytes");
  }
  load(bar);
  if (!BlockRunner::current().is_shared(shared, bytes)) {
    fail(cudaErrorIllegalAddress, "a bulk copy ends outside shared memory");
  }
  const Place place = Allocations::instance().place_of(global, bytes);
  if (place != Place::kDevice && place != Place::kPinned) {
    fail(cudaErrorIllegalAddress, "a bulk copy starts outside a live allocation");
  }
  BlockRunner::current().copies().push_back({shared, global, bytes, bar});
  BlockRunner::current().progress();
}

}  // namespace emulated
