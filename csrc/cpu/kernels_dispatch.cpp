#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/kernels.hpp"

namespace kvprof {
namespace {

/// What this CPU runs, the widest last.
std::vector<const KernelTable*> supported_kernels() {
  std::vector<const KernelTable*> supported{&baseline_kernels};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) supported.push_back(&avx2_kernels);
  if (__builtin_cpu_supports("avx512f")) supported.push_back(&avx512_kernels);
#endif
  return supported;
}

}  // namespace

const KernelTable& select_kernels() {
  const std::vector<const KernelTable*> supported = supported_kernels();
  const char* wanted = std::getenv("KVPROF_INSTRUCTION_SET");
  if (wanted == nullptr || *wanted == '\0') return *supported.back();
  std::string names;
  for (const KernelTable* kernels : supported) {
    if (std::string(wanted) == kernels->instruction_set) return *kernels;
    names += std::string(names.empty() ? "" : ", ") + kernels->instruction_set;
  }
  throw std::invalid_argument(std::string("KVPROF_INSTRUCTION_SET is '") + wanted +
                              "', this CPU runs: " + names);
}

}  // namespace kvprof
