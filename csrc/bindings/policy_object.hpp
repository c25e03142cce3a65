#pragma once
#include <memory>
#include <stdexcept>

#include "core/replay/policy.hpp"

namespace kvprof {

/// A policy until a replay takes it.
struct PolicyObject {
  std::unique_ptr<Policy> policy;

  std::unique_ptr<Policy> take() {
    if (!policy) throw std::runtime_error("the policy has a replay already");
    return std::move(policy);
  }
};

}  // namespace kvprof
