// Memory of a device as the driver gives it, by each policy.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "cuda/device_context.hpp"

namespace kvprof::cuda {

/// Held while it lives. Made and ended by who holds the context's mutex, with the device current.
class Reservation {
 public:
  virtual ~Reservation() = default;
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;

  std::byte* data() const noexcept { return data_; }

 protected:
  Reservation() = default;
  std::byte* data_ = nullptr;
};

/// `plain` (cudaMalloc), `pool` (stream-ordered, from the context's pool) and `vmm` (a range of
/// addresses, to which physical memory is mapped piece by piece). Never managed memory. Those
/// that the device supports.
std::vector<std::string> reservation_policies(int device);

/// Reserves `nbytes` and so many for guards. Throws AllocationError that says what is free when the
/// device has not got so much, std::invalid_argument for a size below 1 or an unknown policy; holds
/// nothing then.
std::unique_ptr<Reservation> reserve(DeviceContext& context, std::int64_t nbytes,
                                     std::int64_t guard_bytes, const std::string& policy);

}  // namespace kvprof::cuda
