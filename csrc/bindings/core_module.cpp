// The module _core: block allocation and the CPU backend. Each bind_* translates and nothing else.
#include <pybind11/pybind11.h>

#include "bindings/bind.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "Block allocation and the CPU backend of kvprof.";
  module.attr("COMPILER") = KVPROF_COMPILER;
  kvprof::bind_allocation(module);
  kvprof::bind_plans(module);
  kvprof::bind_memory(module);
  kvprof::bind_backend(module);
  kvprof::bind_cpu(module);
  kvprof::bind_policies(module);
  kvprof::bind_replay(module);
}
