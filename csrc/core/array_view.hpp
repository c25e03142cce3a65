#pragma once
#include <cstddef>

namespace kvprof {

/// A view of `size` elements that someone else owns: what std::span is from C++20 on.
template <typename T>
struct ArrayView {
  T* data = nullptr;
  std::size_t size = 0;

  T* begin() const { return data; }
  T* end() const { return data + size; }
  T& operator[](std::size_t index) const { return data[index]; }

  /// The first `count` elements; `count <= size`.
  ArrayView first(std::size_t count) const { return {data, count}; }
  /// The elements after the first `count`; `count <= size`.
  ArrayView skip(std::size_t count) const { return {data + count, size - count}; }
};

}  // namespace kvprof
