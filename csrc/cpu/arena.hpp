// Memory of the CPU backend.
#pragma once
#include "device/backend.hpp"

namespace kvprof {

/// Anonymous memory, aligned to 2 MiB, between two pages that may not be touched: what lies
/// outside stays outside, and the system counts this memory's pages apart from others'. Policy
/// `huge_pages` asks the system for 2 MiB pages, `plain` for none. The system hands out page by
/// page what is touched, and kills a process when it runs out; so a size that is not available now
/// is refused here, as an error.
class Arena final : public Memory {
 public:
  /// Throws AllocationError when there is not so much memory, std::invalid_argument for a size
  /// below 1 or an unknown policy.
  Arena(std::int64_t nbytes, const std::string& policy);
  ~Arena() override;

  std::string lock(std::int64_t nbytes) override;

 private:
  void* mapping_ = nullptr;
  std::size_t mapped_bytes_ = 0;
  std::size_t usable_bytes_ = 0;
};

}  // namespace kvprof
