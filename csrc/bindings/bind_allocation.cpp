// Block pools, the sequence allocator and continuous batching, as kvprof._core shows them.
#include <pybind11/stl.h>

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "core/batching.hpp"
#include "core/block_pool.hpp"
#include "core/cache_allocator.hpp"
#include "core/errors.hpp"

namespace py = pybind11;

namespace kvprof {
namespace {

// The allocator with a flag, guarded by the GIL, that is set while run_batching works without it.
struct Allocator {
  CacheAllocator core;
  bool busy = false;

  CacheAllocator& idle() {
    if (busy) throw std::runtime_error("the allocator is in run_batching on another thread");
    return core;
  }

  std::size_t group(const py::handle& index) const {
    const py::ssize_t group = PyNumber_AsSsize_t(index.ptr(), PyExc_IndexError);
    if (PyErr_Occurred()) throw py::error_already_set();
    if (group < 0) throw py::index_error("group must be 0 or more: got " + std::to_string(group));
    return static_cast<std::size_t>(group);
  }
};

struct BusyScope {
  explicit BusyScope(Allocator& allocator) : allocator_(allocator) { allocator.busy = true; }
  ~BusyScope() { allocator_.busy = false; }
  BusyScope(const BusyScope&) = delete;
  BusyScope& operator=(const BusyScope&) = delete;

 private:
  Allocator& allocator_;
};

Progress progress(const py::handle& tokens, const py::handle& encoder_tokens) {
  return {natural("tokens", tokens), natural("encoder_tokens", encoder_tokens)};
}

Group make_group(const py::object& num_blocks, const py::object& rows_per_block,
                 const py::object& entry_tokens, const std::string& keep,
                 const py::object& keep_entries, const std::string& clock) {
  static const std::map<std::string, Keep> keeps{{"all", Keep::all},
                                                 {"last", Keep::last},
                                                 {"chunk", Keep::chunk},
                                                 {"tail", Keep::tail},
                                                 {"once", Keep::once}};
  static const std::map<std::string, Clock> clocks{
      {"decoder", Clock::decoder}, {"encoder", Clock::encoder}, {"sequence", Clock::sequence}};
  const Group group{natural("num_blocks", num_blocks),
                    {natural("rows_per_block", rows_per_block),
                     natural("entry_tokens", entry_tokens), named("keep", keeps, keep),
                     natural("keep_entries", keep_entries), named("clock", clocks, clock)}};
  validate(group);
  return group;
}

BatchingResult run(Allocator& allocator, const py::array_t<double, py::array::c_style>& arrivals,
                   const py::object& prompts, const py::object& outputs,
                   const py::object& until_completed, const py::object& max_steps) {
  const auto arrival_steps = one_dimensional("arrival_steps", arrivals);
  const auto prompt_tokens = integers<std::int64_t>("prompt_tokens", prompts);
  const auto output_tokens = integers<std::int64_t>("output_tokens", outputs);
  const Requests requests{view(arrival_steps), view(prompt_tokens), view(output_tokens)};
  const BatchingLimits limits{natural("until_completed", until_completed),
                              natural("max_steps", max_steps)};
  const auto interrupted = [] {
    const py::gil_scoped_acquire gil;
    return PyErr_CheckSignals() != 0;
  };
  CacheAllocator& core = allocator.idle();
  const BusyScope busy(allocator);
  BatchingResult result;
  {
    const py::gil_scoped_release no_gil;
    result = run_batching(core, requests, limits, interrupted);
  }
  if (PyErr_Occurred()) throw py::error_already_set();
  return result;
}

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
      const Shortage& lack = error.shortage();
      const auto args =
          py::make_tuple(error.what(), lack.group, lack.needed_blocks, lack.free_blocks);
      PyErr_SetObject(out_of_blocks.get_stored().ptr(), args.ptr());
    } catch (const UnknownSequence& error) {
      PyErr_SetString(PyExc_KeyError, error.what());
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

void bind_group(py::module_& module) {
  py::class_<Group>(module, "Group", py::is_final(),
                    "What the allocator must know of one cache group.")
      .def(py::init(&make_group), py::kw_only(), py::arg("num_blocks"), py::arg("rows_per_block"),
           py::arg("entry_tokens") = 1, py::arg("keep") = "all", py::arg("keep_entries") = 0,
           py::arg("clock") = "decoder");
}

void bind_allocator(py::module_& module) {
  py::class_<Allocator>(module, "CacheAllocator", py::is_final(),
                        "Block tables of live sequences over one block pool per cache group.")
      .def(py::init(
               [](const std::vector<Group>& groups) { return Allocator{CacheAllocator(groups)}; }),
           py::arg("groups"))
      .def_property_readonly("num_groups", [](Allocator& self) { return self.idle().num_groups(); })
      .def_property_readonly("sequences",
                             [](Allocator& self) { return array_of(self.idle().sequences()); })
      .def(
          "admit",
          [](Allocator& self, const py::object& tokens, const py::object& encoder_tokens) {
            return self.idle().admit(progress(tokens, encoder_tokens));
          },
          py::arg("tokens"), py::arg("encoder_tokens") = 0)
      .def(
          "append",
          [](Allocator& self, SequenceId sequence, const py::object& tokens) {
            self.idle().append(sequence, natural("tokens", tokens));
          },
          py::arg("sequence"), py::arg("tokens") = 1)
      .def(
          "fork", [](Allocator& self, SequenceId sequence) { return self.idle().fork(sequence); },
          py::arg("sequence"))
      .def(
          "release", [](Allocator& self, SequenceId sequence) { self.idle().release(sequence); },
          py::arg("sequence"))
      .def(
          "tokens",
          [](Allocator& self, SequenceId sequence) {
            return self.idle().progress(sequence).tokens;
          },
          py::arg("sequence"))
      .def(
          "block_table",
          [](Allocator& self, SequenceId sequence, const py::object& group) {
            const BlockTable& table = self.idle().block_table(sequence, self.group(group));
            return py::make_tuple(table.first, array_of(table.ids));
          },
          py::arg("sequence"), py::arg("group"))
      .def(
          "num_blocks",
          [](Allocator& self, const py::object& group) {
            return self.idle().num_blocks(self.group(group));
          },
          py::arg("group"))
      .def(
          "num_free",
          [](Allocator& self, const py::object& group) {
            return self.idle().num_free(self.group(group));
          },
          py::arg("group"))
      .def(
          "blocks_needed",
          [](Allocator& self, const py::object& group, const py::object& tokens,
             const py::object& encoder_tokens) {
            return self.idle().blocks_needed(self.group(group), progress(tokens, encoder_tokens));
          },
          py::arg("group"), py::arg("tokens"), py::arg("encoder_tokens") = 0);
}

void bind_batching(py::module_& module) {
  py::class_<BatchingResult>(module, "BatchingResult", py::is_final(),
                             "Where continuous batching stood when it stopped.")
      .def_readonly("steps", &BatchingResult::steps)
      .def_readonly("completed", &BatchingResult::completed)
      .def_readonly("rejected", &BatchingResult::rejected)
      .def_readonly("preemptions", &BatchingResult::preemptions)
      .def_readonly("arrived", &BatchingResult::arrived)
      .def_readonly("waiting", &BatchingResult::waiting)
      .def_readonly("waiting_tokens", &BatchingResult::waiting_tokens)
      .def_readonly("fullest_steps", &BatchingResult::fullest_steps)
      .def_readonly("mean_running", &BatchingResult::mean_running);
  module.def("run_batching", &run, py::arg("allocator"), py::kw_only(), py::arg("arrival_steps"),
             py::arg("prompt_tokens"), py::arg("output_tokens"), py::arg("until_completed"),
             py::arg("max_steps"));
}

}  // namespace

void bind_allocation(py::module_& module) {
  bind_errors(module);
  bind_pool(module);
  bind_group(module);
  bind_allocator(module);
  bind_batching(module);
}

}  // namespace kvprof
