#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <type_traits>

namespace kvprof {

/// An array of zeros. Its pages are touched as they are used, so one of billions is cheap to make.
template <typename T>
class ZeroedArray {
 public:
  /// @throw std::bad_alloc when the system refuses the memory
  explicit ZeroedArray(std::uint64_t count)
      : data_(static_cast<T*>(std::calloc(std::max<std::uint64_t>(count, 1), sizeof(T)))) {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
    if (!data_) throw std::bad_alloc();
  }

  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  struct Free {
    void operator()(T* memory) const noexcept { std::free(memory); }
  };

  std::unique_ptr<T[], Free> data_;
};

}  // namespace kvprof
