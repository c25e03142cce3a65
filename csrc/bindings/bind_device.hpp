// What the modules of all backends bind alike.
#pragma once
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "device/backend.hpp"

namespace kvprof {

/// Local to the module: two modules of one process may both bind it.
inline void bind_device_facts(pybind11::module_& module) {
  namespace py = pybind11;
  py::class_<DeviceFacts>(module, "DeviceFacts", py::module_local(), py::is_final())
      .def_readonly("name", &DeviceFacts::name)
      .def_readonly("backend", &DeviceFacts::backend)
      .def_readonly("instruction_set", &DeviceFacts::instruction_set)
      .def_readonly("compute_units", &DeviceFacts::compute_units)
      .def_readonly("memory_bytes", &DeviceFacts::memory_bytes)
      .def_readonly("last_level_cache_bytes", &DeviceFacts::last_level_cache_bytes)
      .def_readonly("bus_peak_bytes_per_s", &DeviceFacts::bus_peak_bytes_per_s);
}

}  // namespace kvprof
