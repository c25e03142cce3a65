#include "cpu/host_facts.hpp"

#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <string>

namespace kvprof {
namespace {

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

}  // namespace kvprof
