// Memory of any backend as a Python object.
#pragma once
#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>

#include "device/backend.hpp"

namespace kvprof {

/// The Python object that owns a memory.
///
/// A view made through the buffer protocol or DLPack keeps this object alive but could outlive
/// release(), so views are counted and release() refuses while there are any. An operation takes
/// its own reference to the memory: when another thread releases it meanwhile, the memory goes back
/// when the operation is done. Everything here runs under the GIL.
struct MemoryObject {
  std::shared_ptr<Memory> memory;
  std::int64_t exports = 0;

  const std::shared_ptr<Memory>& live() const {
    if (!memory) throw pybind11::value_error("the memory has been released");
    return memory;
  }

  bool on_host() const { return live()->place().on_host(); }
};

/// Calls an operation on the memory behind a Python object, without the GIL.
template <class Operation>
auto without_gil(const MemoryObject& object, Operation operation) {
  const std::shared_ptr<Memory> memory = object.live();
  const pybind11::gil_scoped_release unlocked;
  return operation(*memory);
}

/// A C-contiguous object's bytes, held for as long as this lives. Made and dropped under the GIL,
/// read without it.
class HeldBytes {
 public:
  explicit HeldBytes(const pybind11::object& source, int flags = PyBUF_SIMPLE) {
    if (PyObject_GetBuffer(source.ptr(), &view_, flags) != 0) throw pybind11::error_already_set();
  }
  ~HeldBytes() { PyBuffer_Release(&view_); }
  HeldBytes(const HeldBytes&) = delete;
  HeldBytes& operator=(const HeldBytes&) = delete;

  std::byte* data() const { return static_cast<std::byte*>(view_.buf); }
  std::int64_t nbytes() const { return view_.len; }

 private:
  Py_buffer view_{};
};

}  // namespace kvprof
