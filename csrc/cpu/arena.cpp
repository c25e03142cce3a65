#include "cpu/arena.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "device/checks.hpp"
#include "device/host_memory.hpp"

namespace kvprof {
namespace {

constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

int advice_for(const std::string& policy) {
  if (policy == "huge_pages") return MADV_HUGEPAGE;
  if (policy == "plain") return MADV_NOHUGEPAGE;
  throw std::invalid_argument("policy is '" + policy + "', a CPU has huge_pages and plain");
}

void refuse_more_than_available(std::int64_t nbytes) {
  check_size(nbytes);
  const std::int64_t available = available_memory_bytes();
  if (nbytes > available) {
    throw AllocationError("cannot allocate " + std::to_string(nbytes) +
                          " bytes: " + std::to_string(available) + " bytes are available");
  }
}

std::size_t system_page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

std::size_t rounded_up(std::size_t nbytes, std::size_t grain) {
  return (nbytes + grain - 1) / grain * grain;
}

/// What the system has just answered.
AllocationError refusal(std::int64_t nbytes) {
  return AllocationError("cannot allocate " + std::to_string(nbytes) +
                         " bytes: " + std::system_category().message(errno));
}

}  // namespace

Arena::Arena(std::int64_t nbytes, const std::string& policy) : Memory(nbytes, policy) {
  const int advice = advice_for(policy);
  refuse_more_than_available(nbytes);
  usable_bytes_ = rounded_up(static_cast<std::size_t>(nbytes), system_page_bytes());
  mapped_bytes_ = usable_bytes_ + 2 * huge_page_bytes;
  mapping_ = mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping_ == MAP_FAILED) throw refusal(nbytes);
  // At least one page is left before and after, since the mapping has two huge pages more.
  const auto address = reinterpret_cast<std::uintptr_t>(mapping_);
  data_ = static_cast<std::byte*>(mapping_) + (huge_page_bytes - address % huge_page_bytes);
  if (mprotect(data_, usable_bytes_, PROT_READ | PROT_WRITE) != 0) {
    const AllocationError error = refusal(nbytes);
    munmap(mapping_, mapped_bytes_);
    throw error;
  }
  // Advice only: a kernel without huge pages refuses it, and the memory is as good.
  madvise(data_, usable_bytes_, advice);
}

Arena::~Arena() { munmap(mapping_, mapped_bytes_); }

std::string Arena::lock(std::int64_t nbytes) {
  check_range(0, nbytes);
  const int failed = mlock(data_, static_cast<std::size_t>(nbytes));
  return failed == 0 ? "" : std::system_category().message(errno);
}

}  // namespace kvprof
