// The CPU as a device.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cpu/kernels.hpp"
#include "cpu/share.hpp"
#include "cpu/thread_team.hpp"
#include "device/backend.hpp"

namespace kvprof {

/// Pinned threads, each with an even share of the bytes, in contiguous stretches of the plan.
class CpuBackend final : public Backend {
 public:
  /// Pins one thread to each CPU. Throws std::invalid_argument for CPUs that cannot be had, or
  /// for a bad KVPROF_INSTRUCTION_SET.
  explicit CpuBackend(std::vector<int> cpus = allowed_cpus());

  const std::vector<int>& cpus() const noexcept { return team_.cpus(); }

  const DeviceFacts& facts() const override { return facts_; }
  std::unique_ptr<Memory> allocate(std::int64_t nbytes, const std::string& policy) override;
  double fill(Memory& memory, std::int64_t offset_bytes, std::int64_t nbytes,
              std::uint64_t seed) override;
  StreamResult decode_read(const Memory& memory, const PagePlan& plan) override;
  StreamResult append(Memory& memory, const SlotPlan& plan, const std::byte* source,
                      std::int64_t source_bytes) override;
  StreamResult state_update(Memory& memory, const PagePlan& plan, std::uint64_t addend) override;
  /// `one_stream` or `eight_streams` a thread for read and rmw; stores `non_temporal` (past the
  /// cache) or `plain` for write and copy.
  std::vector<std::string> ceiling_variants(Ceiling kind) const override;
  StreamResult ceiling(Memory& memory, Ceiling kind, const std::string& variant,
                       std::int64_t offset_bytes, std::int64_t nbytes) override;

 private:
  using ShareWork = std::function<std::uint64_t(Share)>;

  /// Runs `work` on every thread's share of `total`; `nbytes` is what it moves.
  StreamResult stream(std::int64_t total, std::int64_t grain, std::int64_t nbytes,
                      const ShareWork& work);
  StreamResult visit_ceiling(std::byte* base, Ceiling kind, std::size_t streams,
                             std::int64_t nbytes);
  StreamResult store_ceiling(std::byte* base, Ceiling kind, bool non_temporal, std::int64_t nbytes);

  const KernelTable& kernels_;
  ThreadTeam team_;
  DeviceFacts facts_;
};

}  // namespace kvprof
