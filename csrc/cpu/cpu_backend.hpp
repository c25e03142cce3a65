// The CPU as a device.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/thread_team.hpp"
#include "device/backend.hpp"
#include "device/share.hpp"

namespace kvprof {

/// Pinned threads, each with an even share of the bytes, in contiguous stretches of the plan.
class CpuBackend final : public Backend {
 public:
  /// Pins one thread to each CPU. Throws std::invalid_argument for CPUs that cannot be had, or
  /// for a bad KVPROF_INSTRUCTION_SET.
  explicit CpuBackend(std::vector<int> cpus = allowed_cpus());

  const DeviceFacts& facts() const override { return facts_; }
  std::vector<int> cpus() const override { return team_.cpus(); }
  std::vector<bool> pinned() const override { return team_.pinned(); }
  std::int64_t available_bytes() const override;
  std::vector<std::string> policies() const override { return {"huge_pages", "plain"}; }
  std::unique_ptr<Memory> allocate(std::int64_t nbytes, const std::string& policy) override;
  std::unique_ptr<Memory> allocate_host(std::int64_t nbytes) override {
    return allocate(nbytes, "");
  }
  AllocationCost allocation_cost(std::int64_t nbytes, std::int64_t count,
                                 const std::string& policy) override;
  double fill(Memory& memory, std::int64_t offset_bytes, std::int64_t nbytes, std::uint64_t seed,
              bool finite, std::int64_t part, std::int64_t parts) override;

  /// Reads and updates walk one page after the other, or four or eight in turn, and may prefetch
  /// those that come next; writes and copies are stored past the cache (`non_temporal`), by the
  /// CPU's string instructions, by libc, or plainly.
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

  /// As the streams have them; also `plain_loop` for read, which is what a compiler makes of a
  /// loop.
  std::vector<std::string> ceiling_variants(Ceiling kind) const override;
  StreamResult ceiling(Memory& memory, Ceiling kind, const std::string& variant,
                       std::int64_t offset_bytes, std::int64_t nbytes) override;

 private:
  using ShareWork = std::function<std::uint64_t(Share)>;

  /// Runs `work` on every thread's share of `total`; `nbytes` is what it moves.
  StreamResult stream(std::int64_t total, std::int64_t grain, std::int64_t nbytes,
                      const ShareWork& work);
  StreamResult copy(const Memory& from, Memory& to, const CopyPlan& plan, CopyKernel kernel);
  StreamResult read_ceiling(std::byte* base, const std::string& variant, std::int64_t nbytes);
  StreamResult rmw_ceiling(std::byte* base, const std::string& variant, std::int64_t nbytes);
  StreamResult write_ceiling(std::byte* base, const std::string& variant, std::int64_t nbytes);
  StreamResult copy_ceiling(std::byte* base, const std::string& variant, std::int64_t nbytes);

  const KernelTable& kernels_;
  ThreadTeam team_;
  DeviceFacts facts_;
};

}  // namespace kvprof
