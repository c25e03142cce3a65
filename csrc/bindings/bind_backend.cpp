// The interface of a backend; a module that has one binds its class on top of this.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "bindings/memory_object.hpp"

namespace py = pybind11;

namespace kvprof {
namespace {

Ceiling ceiling_named(const std::string& name) {
  return named<Ceiling>("ceiling",
                        {{"read", Ceiling::read},
                         {"write", Ceiling::write},
                         {"copy", Ceiling::copy},
                         {"rmw", Ceiling::rmw}},
                        name);
}

Stream stream_named(const std::string& name) {
  return named<Stream>("stream",
                       {{"decode_read", Stream::decode_read},
                        {"sparse_read", Stream::sparse_read},
                        {"append", Stream::append},
                        {"state_update", Stream::state_update},
                        {"block_copy", Stream::block_copy},
                        {"swap", Stream::swap},
                        {"zero", Stream::zero}},
                       name);
}

Element element_named(const std::string& name) {
  return named<Element>(
      "element",
      {{"word64", Element::word64}, {"float32", Element::float32}, {"bfloat16", Element::bfloat16}},
      name);
}

void bind_facts(py::module_& module) {
  py::class_<DeviceFacts>(module, "DeviceFacts", py::is_final())
      .def_readonly("name", &DeviceFacts::name)
      .def_readonly("backend", &DeviceFacts::backend)
      .def_readonly("instruction_set", &DeviceFacts::instruction_set)
      .def_readonly("compute_units", &DeviceFacts::compute_units)
      .def_readonly("memory_bytes", &DeviceFacts::memory_bytes)
      .def_readonly("last_level_cache_bytes", &DeviceFacts::last_level_cache_bytes)
      .def_readonly("bus_peak_bytes_per_s", &DeviceFacts::bus_peak_bytes_per_s);
  py::class_<AllocationCost>(module, "AllocationCost", py::is_final())
      .def_readonly("allocate_seconds", &AllocationCost::allocate_seconds)
      .def_readonly("free_seconds", &AllocationCost::free_seconds)
      .def_readonly("asked_bytes", &AllocationCost::asked_bytes)
      .def_readonly("held_bytes", &AllocationCost::held_bytes);
}

void bind_allocation_of(py::class_<Backend>& backend) {
  using namespace py::literals;
  backend.def_property_readonly("facts", &Backend::facts)
      .def_property_readonly("cpus", &Backend::cpus)
      .def_property_readonly("pinned", &Backend::pinned)
      .def_property_readonly("policies", &Backend::policies)
      .def("available_bytes", &Backend::available_bytes, py::call_guard<py::gil_scoped_release>())
      .def(
          "allocate",
          [](Backend& self, std::int64_t nbytes, const std::string& policy) {
            const py::gil_scoped_release unlocked;
            return MemoryObject{self.allocate(nbytes, policy)};
          },
          "nbytes"_a, "policy"_a = "")
      .def(
          "allocate_host",
          [](Backend& self, std::int64_t nbytes) {
            const py::gil_scoped_release unlocked;
            return MemoryObject{self.allocate_host(nbytes)};
          },
          "nbytes"_a)
      .def("allocation_cost", &Backend::allocation_cost, py::call_guard<py::gil_scoped_release>(),
           "nbytes"_a, "count"_a, "policy"_a = "");
}

void bind_reads_and_writes(py::class_<Backend>& backend) {
  using namespace py::literals;
  backend
      .def(
          "fill",
          [](Backend& self, const MemoryObject& object, std::int64_t offset, std::int64_t nbytes,
             std::uint64_t seed, bool finite, std::int64_t part, std::int64_t parts) {
            return without_gil(object, [&](Memory& m) {
              return self.fill(m, offset, nbytes, seed, finite, part, parts);
            });
          },
          "memory"_a, "offset_bytes"_a, "nbytes"_a, "seed"_a, py::kw_only(), "finite"_a = false,
          "part"_a = 0, "parts"_a = 1)
      .def(
          "decode_read",
          [](Backend& self, const MemoryObject& object, const PagePlan& plan,
             const std::string& variant) {
            return without_gil(object,
                               [&](Memory& m) { return self.decode_read(m, plan, variant); });
          },
          "memory"_a, "plan"_a, "variant"_a = "")
      .def(
          "sparse_read",
          [](Backend& self, const MemoryObject& object, const PagePlan& index, const PagePlan& rows,
             const std::string& variant) {
            return without_gil(
                object, [&](Memory& m) { return self.sparse_read(m, index, rows, variant); });
          },
          "memory"_a, "index"_a, "rows"_a, "variant"_a = "")
      .def(
          "append",
          [](Backend& self, const MemoryObject& object, const SlotPlan& plan,
             const py::object& source, const std::string& variant) {
            if (py::isinstance<MemoryObject>(source)) {
              const std::shared_ptr<Memory> rows = py::cast<MemoryObject&>(source).live();
              return without_gil(
                  object, [&](Memory& m) { return self.append(m, plan, Source(*rows), variant); });
            }
            const HeldBytes rows(source);
            return without_gil(object, [&](Memory& m) {
              return self.append(m, plan, {rows.data(), rows.nbytes()}, variant);
            });
          },
          "memory"_a, "plan"_a, "source"_a, "variant"_a = "")
      .def(
          "zero",
          [](Backend& self, const MemoryObject& object, const PagePlan& plan,
             const std::string& variant) {
            return without_gil(object, [&](Memory& m) { return self.zero(m, plan, variant); });
          },
          "memory"_a, "plan"_a, "variant"_a = "");
}

void bind_updates_and_copies(py::class_<Backend>& backend) {
  using namespace py::literals;
  backend
      .def(
          "state_update",
          [](Backend& self, const MemoryObject& object, const PagePlan& plan,
             const std::string& element, std::uint64_t addend, float decay, float input,
             const std::string& variant) {
            const Update update{element_named(element), addend, decay, input};
            return without_gil(
                object, [&](Memory& m) { return self.state_update(m, plan, update, variant); });
          },
          "memory"_a, "plan"_a, py::kw_only(), "element"_a = "word64", "addend"_a = 0,
          "decay"_a = 1.0F, "input"_a = 0.0F, "variant"_a = "")
      .def(
          "block_copy",
          [](Backend& self, const MemoryObject& object, const CopyPlan& plan,
             const std::string& variant) {
            return without_gil(object,
                               [&](Memory& m) { return self.block_copy(m, plan, variant); });
          },
          "memory"_a, "plan"_a, "variant"_a = "")
      .def(
          "swap",
          [](Backend& self, const MemoryObject& source, const MemoryObject& target,
             const CopyPlan& plan, const std::string& variant) {
            const std::shared_ptr<Memory> from = source.live();
            return without_gil(target,
                               [&](Memory& to) { return self.swap(*from, to, plan, variant); });
          },
          "source"_a, "target"_a, "plan"_a, "variant"_a = "")
      .def(
          "variants",
          [](const Backend& self, const std::string& stream) {
            return self.variants(stream_named(stream));
          },
          "stream"_a);
}

void bind_ceilings(py::class_<Backend>& backend) {
  using namespace py::literals;
  backend
      .def(
          "ceiling_variants",
          [](const Backend& self, const std::string& kind) {
            return self.ceiling_variants(ceiling_named(kind));
          },
          "kind"_a)
      .def(
          "ceiling",
          [](Backend& self, const MemoryObject& object, const std::string& kind,
             const std::string& variant, std::int64_t offset, std::int64_t nbytes) {
            const Ceiling ceiling = ceiling_named(kind);
            return without_gil(object, [&](Memory& m) {
              return self.ceiling(m, ceiling, variant, offset, nbytes);
            });
          },
          "memory"_a, "kind"_a, "variant"_a, "offset_bytes"_a, "nbytes"_a);
}

}  // namespace

void bind_backend(py::module_& module) {
  bind_facts(module);
  py::register_exception<DeviceFault>(module, "DeviceFault", PyExc_RuntimeError);
  py::class_<Backend> backend(module, "Backend");
  bind_allocation_of(backend);
  bind_reads_and_writes(backend);
  bind_updates_and_copies(backend);
  bind_ceilings(backend);
}

}  // namespace kvprof
