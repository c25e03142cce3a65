#pragma once
#include <pybind11/pybind11.h>

namespace kvprof {

/// Pools of block ids.
void bind_allocation(pybind11::module_& module);

/// Address plans, for any backend.
void bind_plans(pybind11::module_& module);

/// Memory, for any backend, and what a pass over it returns.
void bind_memory(pybind11::module_& module);

/// The interface that every backend answers, and what it says of its device.
void bind_backend(pybind11::module_& module);

/// Allocation policies, and the plans that parameterise them.
void bind_policies(pybind11::module_& module);

/// The replay of requests through a policy.
void bind_replay(pybind11::module_& module);

/// The CPU backend.
void bind_cpu(pybind11::module_& module);

}  // namespace kvprof
