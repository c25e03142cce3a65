// The CPU backend.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/bind.hpp"
#include "cpu/cpu_backend.hpp"

namespace py = pybind11;

namespace kvprof {

void bind_cpu(py::module_& module) {
  using namespace py::literals;
  py::class_<CpuBackend, Backend>(module, "CpuBackend", py::is_final())
      .def(py::init([](const std::optional<std::vector<int>>& cpus) {
             return std::make_unique<CpuBackend>(cpus ? *cpus : allowed_cpus());
           }),
           "cpus"_a = py::none());
}

}  // namespace kvprof
