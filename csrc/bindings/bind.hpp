#pragma once
#include <pybind11/pybind11.h>

namespace kvprof {

/// Block pools, the sequence allocator and continuous batching.
void bind_allocation(pybind11::module_& module);

/// Address plans, for any backend.
void bind_plans(pybind11::module_& module);

/// Memory and the CPU backend.
void bind_cpu(pybind11::module_& module);

}  // namespace kvprof
