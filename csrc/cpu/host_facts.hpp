// What the operating system says of this machine.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace kvprof {

/// The model name of /proc/cpuinfo, else the name of the machine's architecture.
std::string cpu_name();

/// Bytes of the last-level caches that these CPUs have together: one that several share counts
/// once. By sysfs, else sysconf; 32 MiB when neither knows.
std::int64_t last_level_cache_bytes(const std::vector<int>& cpus);

}  // namespace kvprof
