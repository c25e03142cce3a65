#include "cuda/device_context.hpp"

#include <array>
#include <limits>

#include "cuda/cuda_check.hpp"
#include "cuda/device_facts.hpp"

namespace kvprof::cuda {

namespace {

/// The index, of a device that there is.
int checked(int index) {
  require_device(index);
  return index;
}

std::mutex& mutex_of(int index) {
  constexpr std::size_t most_devices = 64;
  static std::array<std::mutex, most_devices> mutexes;
  return mutexes[static_cast<std::size_t>(index) % most_devices];
}

}  // namespace

DeviceContext::DeviceContext(int index)
    : index_(checked(index)), mutex_(mutex_of(index)), primary_(index) {
  const Turn turn(*this);
  check(cudaDeviceGetAttribute(&multiprocessors_, cudaDevAttrMultiProcessorCount, index),
        "asking for the multiprocessors");
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for free memory");
  total_bytes_ = static_cast<std::int64_t>(total);
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}

// Nothing can be done about a failure here: the device may be gone.
DeviceContext::~DeviceContext() {
  const Turn turn(*this);
  if (pool_ != nullptr) cudaMemPoolDestroy(pool_);
  cudaStreamDestroy(stream_);
}

cudaMemPool_t DeviceContext::pool() {
  if (pool_ != nullptr) return pool_;
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = index_;
  check(cudaMemPoolCreate(&pool_, &properties), "making a memory pool");
  std::uint64_t keep_all = std::numeric_limits<std::uint64_t>::max();
  check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_all),
        "setting the pool's release threshold");
  return pool_;
}

std::int64_t DeviceContext::free_bytes() {
  if (pool_ != nullptr) {
    synchronize();  // what is freed in the order of the stream is free after that
    check(cudaMemPoolTrimTo(pool_, 0), "trimming the pool");
  }
  std::size_t free = 0;
  std::size_t total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for free memory");
  return static_cast<std::int64_t>(free);
}

void DeviceContext::synchronize() {
  check(cudaStreamSynchronize(stream_), "what was queued on the device");
}

void copy_now(DeviceContext& context, void* to, const void* from, std::int64_t nbytes) {
  check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(nbytes), cudaMemcpyDefault,
                        context.stream()),
        "a copy");
  context.synchronize();
}

}  // namespace kvprof::cuda
