#include "device/host_memory.hpp"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace kvprof {
namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

/// The number in a file, `otherwise` when there is no file or no number in it.
std::int64_t number_in(const std::string& path, std::int64_t otherwise) {
  std::ifstream file(path);
  std::int64_t number = 0;
  return file >> number ? number : otherwise;
}

/// "MemTotal" -> bytes.
std::int64_t meminfo_bytes(const std::string& field) {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::int64_t kibibytes = 0;
    if (words >> name >> kibibytes && name == field + ":") return kibibytes * 1024;
  }
  return static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

struct MemoryLimit {
  std::int64_t limit_bytes = unlimited;
  std::int64_t used_bytes = 0;
};

/// The control group as a container sees it: mounted at the root, version 2 or 1.
MemoryLimit control_group() {
  const std::string root = "/sys/fs/cgroup/";
  const std::int64_t version_2 = number_in(root + "memory.max", unlimited);
  if (version_2 != unlimited) return {version_2, number_in(root + "memory.current", 0)};
  return {number_in(root + "memory/memory.limit_in_bytes", unlimited),
          number_in(root + "memory/memory.usage_in_bytes", 0)};
}

}  // namespace

std::int64_t memory_bytes() {
  return std::min(meminfo_bytes("MemTotal"), control_group().limit_bytes);
}

std::int64_t available_memory_bytes() {
  const MemoryLimit group = control_group();
  const std::int64_t left = std::max<std::int64_t>(group.limit_bytes - group.used_bytes, 0);
  return std::min(meminfo_bytes("MemAvailable"), left);
}

}  // namespace kvprof
