#include "copies.hpp"

#include <cstring>
#include <memory>
#include <vector>

#include "state.hpp"
#include "streams.hpp"

namespace emulated {
namespace {

cudaError_t refused(const char* what) {
  set_device_error(cudaErrorInvalidValue, std::string(what) + " outside a live allocation");
  return cudaErrorInvalidValue;
}

/// The work of a stream: nothing once the device has an error.
template <typename Work>
auto unless_faulted(Work work) {
  return [work] {
    if (device_error() == cudaSuccess) work();
  };
}

cudaError_t copy_later(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                       cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  const Ends ends = ends_of(to, from, bytes);
  if (!fits(ends, kind)) return refused("copy");
  if (ends.source == Place::kElsewhere && ends.destination == Place::kDevice) {
    // As the driver stages pageable memory, the caller may change it as soon as the call returns.
    const auto* first = static_cast<const std::byte*>(from);
    const auto staged = std::make_shared<std::vector<std::byte>>(first, first + bytes);
    return submit(stream, unless_faulted([=] { std::memcpy(to, staged->data(), bytes); }));
  }
  const cudaError_t error = submit(stream, unless_faulted([=] { std::memcpy(to, from, bytes); }));
  const bool waits = ends.destination == Place::kElsewhere && ends.source == Place::kDevice;
  return error || !waits ? error : wait_for(stream);
}

cudaError_t set_later(void* address, int value, std::size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  const Place place = Allocations::instance().place_of(address, bytes);
  if (place != Place::kDevice && place != Place::kPinned) return refused("memset");
  return submit(stream, unless_faulted([=] { std::memset(address, value, bytes); }));
}

}  // namespace

Ends ends_of(const void* destination, const void* source, std::size_t bytes) {
  return {Allocations::instance().place_of(source, bytes),
          Allocations::instance().place_of(destination, bytes)};
}

bool fits(Ends ends, cudaMemcpyKind kind) {
  if (ends.source == Place::kInvalid || ends.destination == Place::kInvalid) return false;
  if (kind == cudaMemcpyDefault) return true;
  return ends.source == Place::kDevice && ends.destination == Place::kDevice;
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t count, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return runtime_call("cudaMemcpyAsync", [&] { return copy_later(dst, src, count, kind, stream); });
}

cudaError_t cudaMemsetAsync(void* devPtr, int value, size_t count, cudaStream_t stream) {
  return runtime_call("cudaMemsetAsync", [&] { return set_later(devPtr, value, count, stream); });
}

}  // extern "C"
