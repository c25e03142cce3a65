// Small memory of the device that a backend keeps for itself.
#pragma once
#include <cstdint>
#include <memory>

#include "cuda/device_context.hpp"
#include "cuda/kernels.hpp"
#include "device/backend.hpp"

namespace kvprof::cuda {

/// Frees with the device current, as the runtime would make a context on another otherwise.
struct Freed {
  DeviceContext* context;
  void operator()(void* data) const;
};

using DeviceBytes = std::unique_ptr<void, Freed>;

/// Throws AllocationError when the device has not got so much.
DeviceBytes allocate_bytes(DeviceContext& context, std::int64_t nbytes, const char* what);

/// Sums of a kernel that reads: cleared before a pass, fetched and added up after it.
class Checksums {
 public:
  explicit Checksums(DeviceContext& context);

  Totals totals() const { return static_cast<Totals>(words_.get()); }
  void clear();
  std::uint64_t sum();

 private:
  DeviceContext& context_;
  DeviceBytes words_;
};

/// The host's rows of an append, brought to the device.
class UploadedRows {
 public:
  explicit UploadedRows(DeviceContext& context) : context_(context), rows_(nullptr, {&context}) {}

  /// Throws AllocationError when the device has no room.
  const std::byte* upload(const Source& source);

 private:
  DeviceContext& context_;
  DeviceBytes rows_;
  std::int64_t capacity_ = 0;
};

}  // namespace kvprof::cuda
