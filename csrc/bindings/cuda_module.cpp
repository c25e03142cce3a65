// The module _cuda. It imports on a machine without a driver, and then says why it is unavailable.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <utility>

#include "cuda/cuda_backend.hpp"
#include "cuda/device_facts.hpp"
#include "cuda/nvtx_range.hpp"

namespace {

namespace cuda = kvprof::cuda;

std::pair<int, int> as_pair(cuda::CudaVersion version) { return {version.major, version.minor}; }

std::pair<int, int> runtime_version() { return as_pair(cuda::runtime_version()); }

std::optional<std::pair<int, int>> driver_version() {
  const std::optional<cuda::CudaVersion> version = cuda::driver_version();
  return version ? std::optional(as_pair(*version)) : std::nullopt;
}

}  // namespace

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
  module.def("runtime_version", &runtime_version);
  module.def("driver_version", &driver_version, WithoutGil());
  module.def("unavailable_reason", &cuda::unavailable_reason, WithoutGil());
  module.def("device_count", &cuda::device_count, WithoutGil());
  module.def("device_facts", &cuda::device_facts, "index"_a, WithoutGil());
  module.def("range_push", &cuda::push_range, "name"_a, "nbytes"_a = 0);
  module.def("range_pop", &cuda::pop_range);
  py::class_<cuda::CudaBackend, kvprof::Backend>(module, "CudaBackend", py::is_final())
      .def(py::init<int, bool>(), "index"_a = 0, py::kw_only(), "blocking"_a = true, WithoutGil());
}
