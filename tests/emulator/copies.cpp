#include "copies.hpp"

#include <cstring>
#include <memory>
#include <vector>

#include "state.hpp"
#include "streams.hpp"

namespace emulated {
namespace {

/// Rows of width bytes; a plain copy is one row.
struct Shape {
  std::size_t destination_pitch;
  std::size_t source_pitch;
  std::size_t width;
  std::size_t height;

  static std::size_t span(std::size_t pitch, std::size_t width, std::size_t height) {
    return height == 0 ? 0 : (height - 1) * pitch + width;
  }
};

void copy_rows(void* destination, const void* source, const Shape& shape) {
  for (std::size_t row = 0; row < shape.height; ++row) {
    std::memcpy(static_cast<std::byte*>(destination) + row * shape.destination_pitch,
                static_cast<const std::byte*>(source) + row * shape.source_pitch, shape.width);
  }
}

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

cudaError_t copy_later(void* destination, const void* source, const Shape& shape,
                       cudaMemcpyKind kind, cudaStream_t stream) {
  if (shape.width == 0 || shape.height == 0) return cudaSuccess;
  if (shape.destination_pitch < shape.width || shape.source_pitch < shape.width) {
    return cudaErrorInvalidPitchValue;
  }
  const std::size_t to = Shape::span(shape.destination_pitch, shape.width, shape.height);
  const std::size_t from = Shape::span(shape.source_pitch, shape.width, shape.height);
  const Ends ends{Allocations::instance().place_of(source, from),
                  Allocations::instance().place_of(destination, to)};
  if (!fits(ends, kind)) return refused("copy");
  if (ends.source == Place::kElsewhere && ends.destination == Place::kDevice) {
    // As the driver stages pageable memory, the caller may change it as soon as the call returns.
    const auto* first = static_cast<const std::byte*>(source);
    const auto staged = std::make_shared<std::vector<std::byte>>(first, first + from);
    return submit(stream, unless_faulted([=] { copy_rows(destination, staged->data(), shape); }));
  }
  const cudaError_t error =
      submit(stream, unless_faulted([=] { copy_rows(destination, source, shape); }));
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
  const bool from_device = ends.source == Place::kDevice;
  const bool to_device = ends.destination == Place::kDevice;
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !from_device && !to_device;
    case cudaMemcpyHostToDevice:
      return !from_device && to_device;
    case cudaMemcpyDeviceToHost:
      return from_device && !to_device;
    case cudaMemcpyDeviceToDevice:
      return from_device && to_device;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t count, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return runtime_call("cudaMemcpyAsync",
                      [&] { return copy_later(dst, src, {count, count, count, 1}, kind, stream); });
}

cudaError_t cudaMemcpy(void* dst, const void* src, size_t count, enum cudaMemcpyKind kind) {
  return runtime_call("cudaMemcpy", [&] {
    const cudaError_t error = copy_later(dst, src, {count, count, count, 1}, kind, nullptr);
    return error ? error : device_error();
  });
}

cudaError_t cudaMemcpy2DAsync(void* dst, size_t dpitch, const void* src, size_t spitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream) {
  return runtime_call("cudaMemcpy2DAsync", [&] {
    return copy_later(dst, src, {dpitch, spitch, width, height}, kind, stream);
  });
}

cudaError_t cudaMemset(void* devPtr, int value, size_t count) {
  return runtime_call("cudaMemset", [&] {
    const cudaError_t error = set_later(devPtr, value, count, nullptr);
    return error ? error : device_error();
  });
}

cudaError_t cudaMemsetAsync(void* devPtr, int value, size_t count, cudaStream_t stream) {
  return runtime_call("cudaMemsetAsync", [&] { return set_later(devPtr, value, count, stream); });
}

}  // extern "C"
