#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "bindings/bind_device.hpp"
#include "cpu/cpu_backend.hpp"

namespace py = pybind11;

namespace kvprof {
namespace {

/// The Python object that owns a memory.
///
/// A view made through the buffer protocol keeps this object alive but could outlive release(), so
/// views are counted and release() refuses while there are any. An operation takes its own
/// reference to the memory: when another thread releases it meanwhile, the memory goes back when
/// the operation is done. Everything here runs under the GIL.
struct MemoryObject {
  std::shared_ptr<Memory> memory;
  std::int64_t exports = 0;

  const std::shared_ptr<Memory>& live() const {
    if (!memory) throw py::value_error("the memory has been released");
    return memory;
  }
};

/// pybind11's own buffer support has no hook for the end of a view, hence the slots by hand.
int get_buffer(PyObject* object, Py_buffer* view, int flags) {
  auto& self = py::cast<MemoryObject&>(py::handle(object));
  if (!self.memory) {
    view->obj = nullptr;
    PyErr_SetString(PyExc_BufferError, "the memory has been released");
    return -1;
  }
  const int status = PyBuffer_FillInfo(view, object, self.memory->data(),
                                       static_cast<py::ssize_t>(self.memory->nbytes()), 0, flags);
  if (status == 0) ++self.exports;
  return status;
}

void release_buffer(PyObject* object, Py_buffer*) {
  --py::cast<MemoryObject&>(py::handle(object)).exports;
}

void add_buffer_slots(PyHeapTypeObject* type) {
  type->as_buffer.bf_getbuffer = get_buffer;
  type->as_buffer.bf_releasebuffer = release_buffer;
  type->ht_type.tp_as_buffer = &type->as_buffer;
}

void release(MemoryObject& self) {
  if (self.exports > 0) {
    const std::string message = std::to_string(self.exports) + " views of the memory are in use";
    PyErr_SetString(PyExc_BufferError, message.c_str());
    throw py::error_already_set();
  }
  self.memory.reset();
}

/// The bytes of a C-contiguous object, held for as long as this lives. Made and dropped under the
/// GIL, read without it.
class SourceBytes {
 public:
  explicit SourceBytes(const py::object& source) {
    if (PyObject_GetBuffer(source.ptr(), &view_, PyBUF_SIMPLE) != 0) throw py::error_already_set();
  }
  ~SourceBytes() { PyBuffer_Release(&view_); }
  SourceBytes(const SourceBytes&) = delete;
  SourceBytes& operator=(const SourceBytes&) = delete;

  const std::byte* data() const { return static_cast<const std::byte*>(view_.buf); }
  std::int64_t nbytes() const { return view_.len; }

 private:
  Py_buffer view_{};
};

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

/// Why the memory could not be locked, None when it is.
std::optional<std::string> lock(const MemoryObject& object, std::int64_t nbytes) {
  const std::shared_ptr<Memory> memory = object.live();
  const py::gil_scoped_release unlocked;
  const std::string reason = memory->lock(nbytes);
  return reason.empty() ? std::nullopt : std::make_optional(reason);
}

/// Calls an operation of the backend on the memory behind a Python object, without the GIL.
template <class Operation>
auto without_gil(const MemoryObject& object, Operation operation) {
  const std::shared_ptr<Memory> memory = object.live();
  const py::gil_scoped_release unlocked;
  return operation(*memory);
}

void bind_memory(py::module_& module) {
  py::class_<MemoryObject>(module, "Memory", py::is_final(),
                           py::custom_type_setup(add_buffer_slots))
      .def_property_readonly("nbytes", [](const MemoryObject& m) { return m.live()->nbytes(); })
      .def_property_readonly("policy", [](const MemoryObject& m) { return m.live()->policy(); })
      .def("lock", &lock, py::arg("nbytes"))
      .def("release", &release);
  py::class_<StreamResult>(module, "StreamResult", py::is_final())
      .def_readonly("seconds", &StreamResult::seconds)
      .def_readonly("nbytes", &StreamResult::nbytes)
      .def_readonly("checksum", &StreamResult::checksum)
      .def_readonly("interruptions", &StreamResult::interruptions)
      .def_readonly("lost_seconds", &StreamResult::lost_seconds)
      .def_readonly("clock_hz", &StreamResult::clock_hz);
}

void bind_reads_and_writes(py::class_<CpuBackend>& backend) {
  using namespace py::literals;
  backend
      .def(
          "fill",
          [](CpuBackend& self, const MemoryObject& object, std::int64_t offset, std::int64_t nbytes,
             std::uint64_t seed, bool finite, std::int64_t part, std::int64_t parts) {
            return without_gil(object, [&](Memory& m) {
              return self.fill(m, offset, nbytes, seed, finite, part, parts);
            });
          },
          "memory"_a, "offset_bytes"_a, "nbytes"_a, "seed"_a, py::kw_only(), "finite"_a = false,
          "part"_a = 0, "parts"_a = 1)
      .def(
          "decode_read",
          [](CpuBackend& self, const MemoryObject& object, const PagePlan& plan,
             const std::string& variant) {
            return without_gil(object,
                               [&](Memory& m) { return self.decode_read(m, plan, variant); });
          },
          "memory"_a, "plan"_a, "variant"_a = "")
      .def(
          "append",
          [](CpuBackend& self, const MemoryObject& object, const SlotPlan& plan,
             const py::object& source, const std::string& variant) {
            const SourceBytes rows(source);
            return without_gil(object, [&](Memory& m) {
              return self.append(m, plan, rows.data(), rows.nbytes(), variant);
            });
          },
          "memory"_a, "plan"_a, "source"_a, "variant"_a = "")
      .def(
          "zero",
          [](CpuBackend& self, const MemoryObject& object, const PagePlan& plan,
             const std::string& variant) {
            return without_gil(object, [&](Memory& m) { return self.zero(m, plan, variant); });
          },
          "memory"_a, "plan"_a, "variant"_a = "");
}

void bind_updates_and_copies(py::class_<CpuBackend>& backend) {
  using namespace py::literals;
  backend
      .def(
          "state_update",
          [](CpuBackend& self, const MemoryObject& object, const PagePlan& plan,
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
          [](CpuBackend& self, const MemoryObject& object, const CopyPlan& plan,
             const std::string& variant) {
            return without_gil(object,
                               [&](Memory& m) { return self.block_copy(m, plan, variant); });
          },
          "memory"_a, "plan"_a, "variant"_a = "")
      .def(
          "swap",
          [](CpuBackend& self, const MemoryObject& source, const MemoryObject& target,
             const CopyPlan& plan, const std::string& variant) {
            const std::shared_ptr<Memory> from = source.live();
            return without_gil(target,
                               [&](Memory& to) { return self.swap(*from, to, plan, variant); });
          },
          "source"_a, "target"_a, "plan"_a, "variant"_a = "")
      .def(
          "variants",
          [](const CpuBackend& self, const std::string& stream) {
            return self.variants(stream_named(stream));
          },
          "stream"_a);
}

void bind_ceilings(py::class_<CpuBackend>& backend) {
  using namespace py::literals;
  backend
      .def(
          "ceiling_variants",
          [](const CpuBackend& self, const std::string& kind) {
            return self.ceiling_variants(ceiling_named(kind));
          },
          "kind"_a)
      .def(
          "ceiling",
          [](CpuBackend& self, const MemoryObject& object, const std::string& kind,
             const std::string& variant, std::int64_t offset, std::int64_t nbytes) {
            const Ceiling ceiling = ceiling_named(kind);
            return without_gil(object, [&](Memory& m) {
              return self.ceiling(m, ceiling, variant, offset, nbytes);
            });
          },
          "memory"_a, "kind"_a, "variant"_a, "offset_bytes"_a, "nbytes"_a);
}

}  // namespace

void bind_cpu(py::module_& module) {
  using namespace py::literals;
  bind_device_facts(module);
  bind_memory(module);
  py::class_<CpuBackend> backend(module, "CpuBackend", py::is_final());
  backend
      .def(py::init([](const std::optional<std::vector<int>>& cpus) {
             return std::make_unique<CpuBackend>(cpus ? *cpus : allowed_cpus());
           }),
           "cpus"_a = py::none())
      .def_property_readonly("facts", &CpuBackend::facts)
      .def_property_readonly("cpus", &CpuBackend::cpus)
      .def_property_readonly("pinned", &CpuBackend::pinned)
      .def(
          "allocate",
          [](CpuBackend& self, std::int64_t nbytes, const std::string& policy) {
            return MemoryObject{self.allocate(nbytes, policy)};
          },
          "nbytes"_a, "policy"_a = "huge_pages");
  bind_reads_and_writes(backend);
  bind_updates_and_copies(backend);
  bind_ceilings(backend);
}

}  // namespace kvprof
