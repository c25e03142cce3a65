// Memory and its protocols: buffer, DLPack, __cuda_array_interface__.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <utility>

#include "bindings/bind.hpp"
#include "bindings/dlpack.hpp"
#include "bindings/memory_object.hpp"

namespace py = pybind11;

namespace kvprof {
namespace {

constexpr const char* tensor_name = "dltensor";

/// pybind11's own buffer support has no hook for the end of a view, hence the slots by hand.
int get_buffer(PyObject* object, Py_buffer* view, int flags) {
  auto& self = py::cast<MemoryObject&>(py::handle(object));
  if (!self.memory || !self.on_host()) {
    view->obj = nullptr;
    PyErr_SetString(PyExc_BufferError, self.memory ? "the memory lies on a device: read() copies it"
                                                   : "the memory has been released");
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

/// Why the memory could not be locked, None when it is.
std::optional<std::string> lock(const MemoryObject& object, std::int64_t nbytes) {
  const std::string reason = without_gil(object, [&](Memory& m) { return m.lock(nbytes); });
  return reason.empty() ? std::nullopt : std::make_optional(reason);
}

py::array_t<std::uint8_t> read(const MemoryObject& object, std::int64_t offset,
                               std::int64_t nbytes) {
  object.live()->check_range(offset, nbytes);
  py::array_t<std::uint8_t> bytes(nbytes);
  auto* to = reinterpret_cast<std::byte*>(bytes.mutable_data());
  without_gil(object, [&](Memory& m) { m.read(offset, nbytes, to); });
  return bytes;
}

void write(const MemoryObject& object, std::int64_t offset, const py::object& data) {
  const HeldBytes bytes(data);
  without_gil(object, [&](Memory& m) { m.write(offset, bytes.nbytes(), bytes.data()); });
}

std::pair<std::int32_t, std::int32_t> dlpack_device(const MemoryObject& object) {
  const Place place = object.live()->place();
  switch (place.kind) {
    case Place::Kind::cuda:
      return {dlpack::cuda, place.device};
    case Place::Kind::cuda_host:
      return {dlpack::cuda_host, 0};
    case Place::Kind::host:
      break;
  }
  return {dlpack::cpu, 0};
}

/// A view of all bytes, and the Python object that it holds.
struct Export {
  dlpack::ManagedTensor managed;
  std::int64_t shape;
  PyObject* owner;
};

/// Called by whoever took the tensor, perhaps without the GIL.
void end_export(dlpack::ManagedTensor* managed) {
  const py::gil_scoped_acquire locked;
  auto* exported = static_cast<Export*>(managed->context);
  --py::cast<MemoryObject&>(py::handle(exported->owner)).exports;
  Py_DECREF(exported->owner);
  delete exported;
}

/// The capsule was dropped; nobody took the tensor unless it has been renamed.
void drop_capsule(PyObject* capsule) {
  if (PyCapsule_IsValid(capsule, tensor_name) == 0) return;
  auto* managed = static_cast<dlpack::ManagedTensor*>(PyCapsule_GetPointer(capsule, tensor_name));
  managed->deleter(managed);
}

/// Operations are done when they return, so no consumer's stream has anything to wait for.
py::object to_dlpack(const py::object& object, const py::object&, const py::object&,
                     const py::object& wanted, const py::object& copy) {
  if (!copy.is_none() && py::cast<bool>(copy)) {
    PyErr_SetString(PyExc_BufferError, "a memory is exported without a copy only");
    throw py::error_already_set();
  }
  auto& self = py::cast<MemoryObject&>(object);
  const auto [kind, device] = dlpack_device(self);
  if (!wanted.is_none() && !wanted.equal(py::make_tuple(kind, device))) {
    PyErr_SetString(PyExc_BufferError, "a memory is exported where it lies only");
    throw py::error_already_set();
  }
  auto* exported = new Export{{}, self.live()->nbytes(), object.ptr()};
  exported->managed.tensor = {self.memory->data(), {kind, device}, 1, {1, 8, 1},
                              &exported->shape,    nullptr,        0};
  exported->managed.context = exported;
  exported->managed.deleter = end_export;
  PyObject* capsule = PyCapsule_New(&exported->managed, tensor_name, drop_capsule);
  if (capsule == nullptr) {
    delete exported;
    throw py::error_already_set();
  }
  Py_INCREF(exported->owner);
  ++self.exports;
  return py::reinterpret_steal<py::object>(capsule);
}

/// Version 3 of the protocol (https://numba.readthedocs.io, "CUDA Array Interface").
py::dict cuda_array_interface(const MemoryObject& object) {
  if (!object.memory) throw py::attribute_error("the memory has been released");
  if (object.on_host()) {
    throw py::attribute_error("the memory lies on the host: it has the buffer protocol");
  }
  py::dict interface;
  interface["shape"] = py::make_tuple(object.live()->nbytes());
  interface["typestr"] = "|u1";
  interface["data"] =
      py::make_tuple(reinterpret_cast<std::uintptr_t>(object.memory->data()), false);
  interface["strides"] = py::none();
  interface["stream"] = py::none();
  interface["version"] = 3;
  return interface;
}

}  // namespace

void bind_memory(py::module_& module) {
  using namespace py::literals;
  py::class_<MemoryObject>(module, "Memory", py::is_final(),
                           py::custom_type_setup(add_buffer_slots))
      .def_property_readonly("nbytes", [](const MemoryObject& m) { return m.live()->nbytes(); })
      .def_property_readonly("policy", [](const MemoryObject& m) { return m.live()->policy(); })
      .def_property_readonly("on_host", &MemoryObject::on_host)
      .def("read", &read, "offset_bytes"_a, "nbytes"_a)
      .def("write", &write, "offset_bytes"_a, "data"_a)
      .def("lock", &lock, "nbytes"_a)
      .def("guards_intact",
           [](const MemoryObject& object) {
             return without_gil(object, [](const Memory& m) { return m.guards_intact(); });
           })
      .def("release", &release)
      .def_property_readonly("__cuda_array_interface__", &cuda_array_interface)
      .def("__dlpack_device__", &dlpack_device)
      .def("__dlpack__", &to_dlpack, py::kw_only(), "stream"_a = py::none(),
           "max_version"_a = py::none(), "dl_device"_a = py::none(), "copy"_a = py::none());
  py::class_<StreamResult>(module, "StreamResult", py::is_final())
      .def_readonly("seconds", &StreamResult::seconds)
      .def_readonly("nbytes", &StreamResult::nbytes)
      .def_readonly("checksum", &StreamResult::checksum)
      .def_readonly("interruptions", &StreamResult::interruptions)
      .def_readonly("lost_seconds", &StreamResult::lost_seconds)
      .def_readonly("clock_hz", &StreamResult::clock_hz);
}

}  // namespace kvprof
