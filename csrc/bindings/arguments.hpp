#pragma once
#include <pybind11/numpy.h>

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/array_view.hpp"

// Python arguments in, checked C++ values out; what is refused raises ValueError or TypeError with
// the offending value.
namespace kvprof {

// What takes part in a product; whether products fit 64 bits is for the core to check.
constexpr std::int64_t most_count = std::int64_t{1} << 40;
constexpr std::int64_t most_bytes = std::int64_t{1} << 50;

template <typename T>
using Array = pybind11::array_t<T, pybind11::array::c_style>;

template <typename T>
ArrayView<const T> view(const Array<T>& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

template <typename T>
Array<T> array_of(const std::vector<T>& values) {
  return Array<T>(static_cast<pybind11::ssize_t>(values.size()), values.data());
}

[[noreturn]] inline void refuse_range(const std::string& name, std::int64_t least,
                                      std::int64_t most, const pybind11::handle& value) {
  throw pybind11::value_error(name + " must be " + std::to_string(least) + " to " +
                              std::to_string(most) + ": got " + std::string(pybind11::str(value)));
}

/// Anything with __index__, NumPy integers among them; floats raise TypeError.
inline std::int64_t integer(const std::string& name, const pybind11::handle& value,
                            std::int64_t least, std::int64_t most) {
  const auto number = pybind11::reinterpret_steal<pybind11::object>(PyNumber_Index(value.ptr()));
  if (!number) throw pybind11::error_already_set();
  int overflow = 0;
  const long long result = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow != 0 || result < least || result > most) refuse_range(name, least, most, number);
  return result;
}

/// A count: an integer from 0 on.
inline std::uint64_t natural(const std::string& name, const pybind11::handle& value) {
  return static_cast<std::uint64_t>(
      integer(name, value, 0, std::numeric_limits<std::int64_t>::max()));
}

template <typename A>
A one_dimensional(const std::string& name, const A& array) {
  if (array.ndim() == 1) return array;
  throw pybind11::value_error(name + " must have one dimension: got " +
                              std::to_string(array.ndim()));
}

/// Any integer dtype whose values fit T, and empty lists; floats are refused, not truncated.
template <typename T>
Array<T> integers(const std::string& name, const pybind11::object& values) {
  if (pybind11::isinstance<Array<T>>(values)) {
    return one_dimensional(name, pybind11::reinterpret_borrow<Array<T>>(values));
  }
  const auto array = one_dimensional(name, pybind11::array(values));
  if (array.size() == 0) return Array<T>(0);
  const char kind = array.dtype().kind();
  if (kind != 'i' && kind != 'u') {
    throw pybind11::type_error(name + " must be integers: got dtype " +
                               std::string(pybind11::str(array.dtype())));
  }
  for (const char* extreme : {"min", "max"}) {
    integer(name, array.attr(extreme)(), std::numeric_limits<T>::min(),
            std::numeric_limits<T>::max());
  }
  return pybind11::array_t<T, pybind11::array::c_style | pybind11::array::forcecast>(array);
}

/// The value that goes by `name`.
template <typename T>
T named(const char* what, const std::map<std::string, T>& names, const std::string& name) {
  const auto found = names.find(name);
  if (found != names.end()) return found->second;
  std::string allowed;
  for (const auto& entry : names) allowed += (allowed.empty() ? "" : ", ") + entry.first;
  throw pybind11::value_error(std::string(what) + " must be one of " + allowed + ": got '" + name +
                              "'");
}

}  // namespace kvprof
