// The module _cuda. It imports on a machine without a driver, and then says why it is unavailable.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <utility>

#include "cuda/device_facts.hpp"

namespace kvprof {
namespace {

std::pair<int, int> as_pair(CudaVersion version) { return {version.major, version.minor}; }

std::pair<int, int> runtime_version() { return as_pair(cuda_runtime_version()); }

std::optional<std::pair<int, int>> driver_version() {
  const std::optional<CudaVersion> version = cuda_driver_version();
  return version ? std::optional(as_pair(*version)) : std::nullopt;
}

}  // namespace
}  // namespace kvprof

PYBIND11_MODULE(_cuda, module) {
  namespace py = pybind11;
  using namespace py::literals;
  // The first call into the driver starts it, which can take seconds.
  using WithoutGil = py::call_guard<py::gil_scoped_release>;
  module.doc() = "The CUDA backend of kvprof.";
  // Its types are bound there, once for all backends.
  py::module_::import("kvprof._core");
  module.def("runtime_version", &kvprof::runtime_version);
  module.def("driver_version", &kvprof::driver_version, WithoutGil());
  module.def("unavailable_reason", &kvprof::cuda_unavailable_reason, WithoutGil());
  module.def("device_count", &kvprof::cuda_device_count, WithoutGil());
  module.def("device_facts", &kvprof::cuda_device_facts, "index"_a, WithoutGil());
}
