// Pools of block ids, as kvprof._core shows them.
#include <exception>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "core/block_pool.hpp"
#include "core/errors.hpp"

namespace py = pybind11;

namespace kvprof {
namespace {

double time_operations(const py::object& num_blocks, const py::object& batch,
                       const py::object& repeats) {
  const std::uint64_t blocks = natural("num_blocks", num_blocks);
  const std::uint64_t each = natural("batch", batch);
  const std::uint64_t pairs = natural("repeats", repeats);
  const py::gil_scoped_release no_gil;
  return time_block_operations(blocks, each, pairs);
}

void bind_errors(py::module_& module) {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> out_of_blocks;
  out_of_blocks.call_once_and_store_result([&] {
    return py::object(py::exception<OutOfBlocks>(module, "OutOfBlocks", PyExc_MemoryError));
  });
  module.attr("OutOfBlocks") = out_of_blocks.get_stored();
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const OutOfBlocks& error) {
      const auto args = py::make_tuple(error.what(), error.needed_blocks(), error.free_blocks());
      PyErr_SetObject(out_of_blocks.get_stored().ptr(), args.ptr());
    }
  });
}

void bind_pool(py::module_& module) {
  py::class_<BlockPool>(module, "BlockPool", py::is_final(),
                        "A pool of block ids with a LIFO free list and reference counts.")
      .def(py::init([](const py::object& num_blocks) {
             return BlockPool(natural("num_blocks", num_blocks));
           }),
           py::arg("num_blocks"))
      .def_property_readonly("num_blocks", &BlockPool::num_blocks)
      .def_property_readonly("num_free", &BlockPool::num_free)
      .def(
          "allocate",
          [](BlockPool& pool, const py::object& count) {
            const std::uint64_t blocks = natural("count", count);
            pool.require(blocks);
            Array<BlockId> ids(static_cast<py::ssize_t>(blocks));
            pool.allocate({ids.mutable_data(), blocks});
            return ids;
          },
          py::arg("count"))
      .def(
          "share",
          [](BlockPool& pool, const py::object& blocks) {
            pool.share(view(integers<BlockId>("blocks", blocks)));
          },
          py::arg("blocks"))
      .def(
          "free",
          [](BlockPool& pool, const py::object& blocks) {
            pool.free(view(integers<BlockId>("blocks", blocks)));
          },
          py::arg("blocks"))
      .def(
          "reference_count",
          [](const BlockPool& pool, const py::object& block) {
            return pool.reference_count(natural("block", block));
          },
          py::arg("block"));
  module.def("time_block_operations", &time_operations, py::arg("num_blocks"), py::arg("batch"),
             py::arg("repeats"));
}

}  // namespace

void bind_allocation(py::module_& module) {
  bind_errors(module);
  bind_pool(module);
}

}  // namespace kvprof
