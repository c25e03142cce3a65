// Variants by name.
#pragma once
#include <stdexcept>
#include <string>
#include <vector>

#include "cpu/kernels.hpp"

namespace kvprof {

template <class Kernel>
std::vector<std::string> names_of(const Variants<Kernel>& variants) {
  std::vector<std::string> names;
  for (const Variant<Kernel>& variant : variants) names.emplace_back(variant.name);
  return names;
}

/// The variant of that name, the first one for an empty name. Throws std::invalid_argument that
/// says which there are.
template <class Kernel>
Kernel variant_named(const std::string& name, const Variants<Kernel>& variants) {
  if (name.empty()) return variants.first->run;
  std::string allowed;
  for (const Variant<Kernel>& variant : variants) {
    if (name == variant.name) return variant.run;
    allowed += (allowed.empty() ? "" : ", ") + std::string(variant.name);
  }
  throw std::invalid_argument("variant is '" + name + "', this operation has: " + allowed);
}

}  // namespace kvprof
