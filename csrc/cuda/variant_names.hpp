// Variants by name.
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

namespace kvprof::cuda {

/// The place of a name, the first for an empty one. Throws std::invalid_argument that says which
/// there are.
inline std::size_t variant_index(const std::string& name, const std::vector<std::string>& names) {
  if (name.empty()) return 0;
  std::string allowed;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return i;
    allowed += (i == 0 ? "" : ", ") + names[i];
  }
  throw std::invalid_argument("variant is '" + name + "', this operation has: " + allowed);
}

}  // namespace kvprof::cuda
