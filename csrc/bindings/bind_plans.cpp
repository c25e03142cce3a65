// The address plans, as Python makes them from strides, segments and arrays of runs or slots.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstring>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "device/copy_plan.hpp"

namespace py = pybind11;

namespace kvprof {
namespace {

using Runs = py::array_t<std::uint32_t, py::array::c_style>;
using Segments = std::vector<std::pair<std::int64_t, std::int64_t>>;

Placement make_placement(std::int64_t base, std::int64_t layer_stride, std::int64_t block_stride,
                         std::int64_t layers, const Segments& segments) {
  Placement placement{base, layer_stride, block_stride, layers, {}};
  for (const auto& [offset, row] : segments) placement.segments.push_back({offset, row});
  return placement;
}

std::vector<RowRun> make_runs(const Runs& array) {
  static_assert(sizeof(RowRun) == 3 * sizeof(std::uint32_t), "a run is a row of the array");
  if (array.ndim() != 2 || array.shape(1) != 3) {
    throw py::value_error("runs must have the shape [n, 3]: block, first row, rows");
  }
  std::vector<RowRun> runs(static_cast<std::size_t>(array.shape(0)));
  if (!runs.empty()) std::memcpy(runs.data(), array.data(), runs.size() * sizeof(RowRun));
  return runs;
}

std::vector<std::int64_t> make_slots(const py::object& slots) {
  const auto array = integers<std::int64_t>("slots", slots);
  return {array.data(), array.data() + array.size()};
}

}  // namespace

void bind_plans(py::module_& module) {
  using namespace py::literals;
  py::class_<PagePlan>(module, "PagePlan", py::is_final())
      .def(py::init([](std::int64_t base, std::int64_t layer_stride, std::int64_t block_stride,
                       std::int64_t layers, const Segments& segments, const Runs& runs) {
             return PagePlan(make_placement(base, layer_stride, block_stride, layers, segments),
                             make_runs(runs));
           }),
           py::kw_only(), "base_bytes"_a, "layer_stride_bytes"_a, "block_stride_bytes"_a,
           "layers"_a, "segments"_a, "runs"_a)
      .def_property_readonly("nbytes", &PagePlan::nbytes)
      .def_property_readonly("extent_bytes", &PagePlan::extent_bytes);
  py::class_<SlotPlan>(module, "SlotPlan", py::is_final())
      .def(py::init([](std::int64_t base, std::int64_t layer_stride, std::int64_t block_stride,
                       std::int64_t layers, const Segments& segments, std::int64_t rows_per_block,
                       const py::object& slots) {
             return SlotPlan(make_placement(base, layer_stride, block_stride, layers, segments),
                             rows_per_block, make_slots(slots));
           }),
           py::kw_only(), "base_bytes"_a, "layer_stride_bytes"_a, "block_stride_bytes"_a,
           "layers"_a, "segments"_a, "rows_per_block"_a, "slots"_a)
      .def_property_readonly("nbytes", &SlotPlan::nbytes)
      .def_property_readonly("extent_bytes", &SlotPlan::extent_bytes);
  py::class_<CopyPlan>(module, "CopyPlan", py::is_final())
      .def(py::init<PagePlan, PagePlan>(), "source"_a, "target"_a)
      .def_property_readonly("nbytes", &CopyPlan::nbytes);
}

}  // namespace kvprof
