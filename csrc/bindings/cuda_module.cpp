// The module _cuda. It imports on a machine without a driver, and then says why it is unavailable.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <utility>

#include "cuda/cuda_backend.hpp"
#include "cuda/device_facts.hpp"
#include "cuda/nvtx_range.hpp"

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
#if defined(KVPROF_CUDA_EMULATED)
  module.attr("EMULATED") = true;
#else
  module.attr("EMULATED") = false;
#endif
  // Its types are bound there, once for all backends.
  py::module_::import("kvprof._core");
  module.def("runtime_version", &kvprof::runtime_version);
  module.def("driver_version", &kvprof::driver_version, WithoutGil());
  module.def("unavailable_reason", &kvprof::cuda_unavailable_reason, WithoutGil());
  module.def("device_count", &kvprof::cuda_device_count, WithoutGil());
  module.def("device_facts", &kvprof::cuda_device_facts, "index"_a, WithoutGil());
  module.def("range_push", &kvprof::cuda::push_range, "name"_a, "nbytes"_a = 0);
  module.def("range_pop", &kvprof::cuda::pop_range);
  py::class_<kvprof::cuda::CudaBackend, kvprof::Backend>(module, "CudaBackend", py::is_final())
      .def(py::init<int, bool>(), "index"_a = 0, py::kw_only(), "blocking"_a = true, WithoutGil());
}
