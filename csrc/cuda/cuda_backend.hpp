// A CUDA device as a device: kernels over address plans, timed by its own clocks.
#pragma once
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cuda/device_buffers.hpp"
#include "cuda/device_context.hpp"
#include "cuda/pass_timer.hpp"
#include "cuda/tile_cache.hpp"
#include "device/backend.hpp"

namespace kvprof::cuda {

class CudaBackend final : public Backend {
 public:
  /// `blocking` false launches without holding launches back (see PassTimer). Throws
  /// std::out_of_range when there is no such device, AllocationError when it has no memory left for
  /// a context, DeviceFault when the driver refuses.
  CudaBackend(int index, bool blocking);
  ~CudaBackend() override;

  const DeviceFacts& facts() const override { return facts_; }
  std::int64_t available_bytes() const override;

  /// `plain`: cudaMalloc. `pool`: stream-ordered, from a pool that keeps what is freed. `vmm`: a
  /// range of addresses with physical memory mapped to it. The last two where the device has them.
  std::vector<std::string> policies() const override { return policies_; }
  std::unique_ptr<Memory> allocate(std::int64_t nbytes, const std::string& policy) override;
  std::unique_ptr<Memory> allocate_host(std::int64_t nbytes) override;
  AllocationCost allocation_cost(std::int64_t nbytes, std::int64_t count,
                                 const std::string& policy) override;
  double fill(Memory& memory, std::int64_t offset_bytes, std::int64_t nbytes, std::uint64_t seed,
              bool finite, std::int64_t part, std::int64_t parts) override;

  /// `vector_AxB`: a warp takes A tiles of 4 KiB at once, each lane B vectors of 16 bytes of each.
  /// `bulk`: copied to shared memory by the hardware first (sm_90 and newer). A swap is a copy by
  /// the driver for each contiguous piece (`per_block`), all of them in one call (`batched`, where
  /// the driver serves CUDA 12.8), or a kernel that reads or writes the host's memory (`kernel`).
  std::vector<std::string> variants(Stream stream) const override;
  StreamResult decode_read(const Memory& memory, const PagePlan& plan,
                           const std::string& variant) override;
  StreamResult sparse_read(const Memory& memory, const PagePlan& index, const PagePlan& rows,
                           const std::string& variant) override;
  StreamResult append(Memory& memory, const SlotPlan& plan, const Source& source,
                      const std::string& variant) override;
  StreamResult state_update(Memory& memory, const PagePlan& plan, const Update& update,
                            const std::string& variant) override;
  StreamResult block_copy(Memory& memory, const CopyPlan& plan,
                          const std::string& variant) override;
  StreamResult swap(const Memory& from, Memory& to, const CopyPlan& plan,
                    const std::string& variant) override;
  StreamResult zero(Memory& memory, const PagePlan& plan, const std::string& variant) override;

  /// As the streams have them; also `driver`, the driver's own copy or fill, where there is one.
  std::vector<std::string> ceiling_variants(Ceiling kind) const override;
  StreamResult ceiling(Memory& memory, Ceiling kind, const std::string& variant,
                       std::int64_t offset_bytes, std::int64_t nbytes) override;

 private:
  /// Ends what the device holds for this, while it is current.
  void give_back();

  /// Throws std::invalid_argument for memory that the device cannot address.
  void check_reach(const Memory& memory) const;

  /// What a profiler shows of it, the bytes that it moves, and what is launched.
  struct Pass {
    const char* name;
    std::int64_t nbytes;
    Work work;
  };

  /// Runs one timed pass; kernels that read add to the checksums' totals.
  StreamResult run(const Pass& pass);
  Pass ceiling_pass(Ceiling kind, std::size_t variant, std::byte* start, std::int64_t nbytes);

  std::shared_ptr<DeviceContext> context_;
  DeviceFacts facts_;
  std::vector<std::string> policies_;
  std::vector<std::string> read_variants_;
  std::unique_ptr<TileCache> tiles_;
  std::unique_ptr<UploadedRows> rows_;
  std::unique_ptr<PassTimer> timer_;
  std::unique_ptr<Checksums> checksums_;
  std::set<Ceiling> warm_;  ///< whose driver's own way has run once
};

}  // namespace kvprof::cuda
