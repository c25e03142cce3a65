#include "cuda/cuda_memory.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "cuda/cuda_check.hpp"
#include "device/checks.hpp"
#include "device/host_memory.hpp"

namespace kvprof::cuda {
namespace {

/// Before and behind; keeps the memory aligned to a page of the host's.
constexpr std::int64_t guard_bytes = 4096;
constexpr unsigned char guard_pattern = 0xA5;

bool is_untouched(unsigned char byte) { return byte == guard_pattern; }

}  // namespace

CudaMemory::CudaMemory(std::shared_ptr<DeviceContext> context, std::int64_t nbytes,
                       const std::string& policy)
    : Memory(nbytes, policy), context_(std::move(context)) {
  const Turn turn(*context_);
  reservation_ = reserve(*context_, nbytes, 2 * guard_bytes, policy);
  data_ = reservation_->data() + guard_bytes;
  try {
    for (std::byte* guard : {reservation_->data(), data_ + nbytes}) {
      check(cudaMemsetAsync(guard, guard_pattern, guard_bytes, context_->stream()), "a guard");
    }
    context_->synchronize();
  } catch (...) {
    reservation_.reset();  // while the device is current
    throw;
  }
}

// Nothing can be done about a failure here: the device may be gone.
CudaMemory::~CudaMemory() {
  const Turn turn(*context_);
  cudaDeviceSynchronize();  // others may have streamed it too
  reservation_.reset();
}

// Memory of a device is never swapped out.
std::string CudaMemory::lock(std::int64_t nbytes) {
  check_range(0, nbytes);
  return "";
}

bool CudaMemory::guards_intact() const {
  std::vector<unsigned char> found(2 * guard_bytes);
  const Turn turn(*context_);
  copy_now(*context_, found.data(), reservation_->data(), guard_bytes);
  copy_now(*context_, found.data() + guard_bytes, data_ + nbytes(), guard_bytes);
  return std::all_of(found.begin(), found.end(), is_untouched);
}

void CudaMemory::copy_out(std::int64_t offset_bytes, std::int64_t nbytes, std::byte* to) const {
  const Turn turn(*context_);
  copy_now(*context_, to, data_ + offset_bytes, nbytes);
}

void CudaMemory::copy_in(std::int64_t offset_bytes, std::int64_t nbytes, const std::byte* from) {
  const Turn turn(*context_);
  copy_now(*context_, data_ + offset_bytes, from, nbytes);
}

PinnedMemory::PinnedMemory(std::shared_ptr<DeviceContext> context, std::int64_t nbytes)
    : Memory(nbytes, "pinned"), context_(std::move(context)) {
  check_size(nbytes);
  // The system would swap, or end processes, before the driver refused.
  const std::int64_t available = available_memory_bytes();
  if (nbytes > available) {
    throw AllocationError("cannot allocate " + std::to_string(nbytes) +
                          " bytes of page-locked memory: " + std::to_string(available) +
                          " bytes of the host's are available");
  }
  // The driver waits for the device to lock pages: not while somebody holds it back.
  const Turn turn(*context_);
  void* data = nullptr;
  const auto size = static_cast<std::size_t>(nbytes);
  check_allocation(cudaMallocHost(&data, size + 2 * guard_bytes), [&] {
    return "cannot allocate " + std::to_string(nbytes) +
           " bytes of page-locked memory: " + std::to_string(available) +
           " bytes of the host's are available";
  });
  data_ = static_cast<std::byte*>(data) + guard_bytes;
  std::memset(data, guard_pattern, guard_bytes);
  std::memset(data_ + nbytes, guard_pattern, guard_bytes);
}

PinnedMemory::~PinnedMemory() {
  const Turn turn(*context_);
  cudaFreeHost(data_ - guard_bytes);
}

std::string PinnedMemory::lock(std::int64_t nbytes) {
  check_range(0, nbytes);
  return "";
}

bool PinnedMemory::guards_intact() const {
  const auto* before = reinterpret_cast<const unsigned char*>(data_ - guard_bytes);
  const auto* behind = reinterpret_cast<const unsigned char*>(data_ + nbytes());
  return std::all_of(before, before + guard_bytes, is_untouched) &&
         std::all_of(behind, behind + guard_bytes, is_untouched);
}

}  // namespace kvprof::cuda
