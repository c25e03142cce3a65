#include "cpu/arena.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>

#include "cpu/host_facts.hpp"

namespace kvprof {
namespace {

constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

int advice_for(const std::string& policy) {
  if (policy == "huge_pages") return MADV_HUGEPAGE;
  if (policy == "plain") return MADV_NOHUGEPAGE;
  throw std::invalid_argument("policy is '" + policy + "', a CPU has huge_pages and plain");
}

void refuse_more_than_available(std::int64_t nbytes) {
  if (nbytes < 1) {
    throw std::invalid_argument("nbytes is " + std::to_string(nbytes) + ", it must be at least 1");
  }
  const std::int64_t available = available_memory_bytes();
  if (nbytes > available) {
    throw AllocationError("cannot allocate " + std::to_string(nbytes) +
                          " bytes: " + std::to_string(available) + " bytes are available");
  }
}

}  // namespace

Arena::Arena(std::int64_t nbytes, const std::string& policy) : Memory(nbytes, policy) {
  const int advice = advice_for(policy);
  refuse_more_than_available(nbytes);
  mapped_bytes_ = static_cast<std::size_t>(nbytes) + huge_page_bytes;
  mapping_ =
      mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping_ == MAP_FAILED) {
    throw AllocationError("cannot allocate " + std::to_string(nbytes) +
                          " bytes: " + std::system_category().message(errno));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(mapping_);
  const std::size_t to_huge_page = (huge_page_bytes - address % huge_page_bytes) % huge_page_bytes;
  data_ = static_cast<std::byte*>(mapping_) + to_huge_page;
  // Advice only: a kernel without huge pages refuses it, and the memory is as good.
  madvise(data_, static_cast<std::size_t>(nbytes), advice);
}

Arena::~Arena() { munmap(mapping_, mapped_bytes_); }

}  // namespace kvprof
