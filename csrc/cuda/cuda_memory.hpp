// Memory of the CUDA backend: on the device between guard bytes, and pinned on the host.
#pragma once
#include <memory>
#include <string>

#include "cuda/device_context.hpp"
#include "cuda/reservation.hpp"
#include "device/backend.hpp"

namespace kvprof::cuda {

/// Memory of a device by one of the policies, with bytes before and behind it that nobody may
/// touch.
class CudaMemory final : public Memory {
 public:
  /// Throws AllocationError that says what is free, std::invalid_argument for a size below 1 or an
  /// unknown policy.
  CudaMemory(std::shared_ptr<DeviceContext> context, std::int64_t nbytes,
             const std::string& policy);
  ~CudaMemory() override;

  Place place() const override { return {Place::Kind::cuda, context_->index()}; }
  std::string lock(std::int64_t nbytes) override;
  bool guards_intact() const override;

 private:
  void copy_out(std::int64_t offset_bytes, std::int64_t nbytes, std::byte* to) const override;
  void copy_in(std::int64_t offset_bytes, std::int64_t nbytes, const std::byte* from) override;

  std::shared_ptr<DeviceContext> context_;
  std::unique_ptr<Reservation> reservation_;
};

/// Page-locked memory of the host, which the device can address, between guard bytes too.
class PinnedMemory final : public Memory {
 public:
  /// Throws as CudaMemory does.
  PinnedMemory(std::shared_ptr<DeviceContext> context, std::int64_t nbytes);
  ~PinnedMemory() override;

  Place place() const override { return {Place::Kind::cuda_host, 0}; }
  std::string lock(std::int64_t nbytes) override;
  bool guards_intact() const override;

 private:
  std::shared_ptr<DeviceContext> context_;
};

}  // namespace kvprof::cuda
