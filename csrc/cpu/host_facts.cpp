#include "cpu/host_facts.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <map>
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

/// "32768K" -> bytes; 0 when it is not a size.
std::int64_t cache_size_bytes(const std::string& path) {
  std::ifstream file(path);
  std::int64_t number = 0;
  char unit = ' ';
  if (!(file >> number)) return 0;
  file >> unit;
  return unit == 'K' ? number << 10 : unit == 'M' ? number << 20 : number;
}

struct LastCache {
  std::string shared_by;
  std::int64_t nbytes = 0;
};

/// The largest cache of a CPU, and the CPUs that share it.
LastCache last_cache_of(int cpu) {
  LastCache last;
  const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index";
  for (int index = 0; index < 8; ++index) {
    const std::string cache = folder + std::to_string(index);
    const std::int64_t nbytes = cache_size_bytes(cache + "/size");
    if (nbytes <= last.nbytes) continue;
    last.nbytes = nbytes;
    std::ifstream(cache + "/shared_cpu_list") >> last.shared_by;
  }
  return last;
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

std::string cpu_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  utsname machine{};
  return uname(&machine) == 0 ? machine.machine : "unknown CPU";
}

std::int64_t last_level_cache_bytes(const std::vector<int>& cpus) {
  std::map<std::string, std::int64_t> caches;
  for (const int cpu : cpus) {
    const LastCache cache = last_cache_of(cpu);
    if (cache.nbytes > 0) caches[cache.shared_by] = cache.nbytes;
  }
  std::int64_t total = 0;
  for (const auto& [shared_by, nbytes] : caches) total += nbytes;
#ifdef _SC_LEVEL3_CACHE_SIZE
  if (total == 0) total = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
  return total > 0 ? total : std::int64_t{32} << 20;
}

std::int64_t memory_bytes() {
  return std::min(meminfo_bytes("MemTotal"), control_group().limit_bytes);
}

std::int64_t available_memory_bytes() {
  const MemoryLimit group = control_group();
  const std::int64_t left = std::max<std::int64_t>(group.limit_bytes - group.used_bytes, 0);
  return std::min(meminfo_bytes("MemAvailable"), left);
}

}  // namespace kvprof
