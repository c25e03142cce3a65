// Memory of a device or of the host, and what can go wrong with either.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace kvprof {

/// The device has not got that much memory. The message quotes the size asked for.
class AllocationError : public std::bad_alloc {
 public:
  explicit AllocationError(std::string message) : message_(std::move(message)) {}
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  std::string message_;
};

/// The device has failed or is gone: nothing that was asked of it can be trusted.
class DeviceFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Where a memory lies, in DLPack's terms.
struct Place {
  enum class Kind { host, cuda, cuda_host };
  Kind kind = Kind::host;
  int device = 0;

  /// Whether the host can address it.
  bool on_host() const { return kind != Kind::cuda; }
};

/// A piece of device memory, given back on destruction. `data` is an address on the device.
class Memory {
 public:
  virtual ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  std::byte* data() const noexcept { return data_; }
  std::int64_t nbytes() const noexcept { return nbytes_; }
  const std::string& policy() const noexcept { return policy_; }

  virtual Place place() const { return {}; }

  /// Copies `nbytes` from `offset_bytes` on to the host, or from it. Throws std::out_of_range when
  /// they do not all lie in this memory.
  void read(std::int64_t offset_bytes, std::int64_t nbytes, std::byte* to) const {
    check_range(offset_bytes, nbytes);
    if (nbytes > 0) copy_out(offset_bytes, nbytes, to);
  }
  void write(std::int64_t offset_bytes, std::int64_t nbytes, const std::byte* from) {
    check_range(offset_bytes, nbytes);
    if (nbytes > 0) copy_in(offset_bytes, nbytes, from);
  }

  /// Keeps the pages of the first `nbytes` from being swapped out. Returns why not, else an empty
  /// string: a memory that cannot be locked works all the same.
  virtual std::string lock(std::int64_t nbytes) = 0;

  /// Whether the bytes just before and just behind it are as they were: nothing wrote past an end.
  /// Where the system refuses such a write, they always are.
  virtual bool guards_intact() const { return true; }

  /// Throws std::out_of_range when a plan reaches further than this memory.
  void check_extent(std::int64_t extent_bytes) const {
    if (extent_bytes > nbytes_) {
      throw std::out_of_range("the plan ends at byte " + std::to_string(extent_bytes) +
                              ", the memory has " + std::to_string(nbytes_));
    }
  }

  /// Throws std::out_of_range when `nbytes` from `offset_bytes` do not all lie in this memory.
  void check_range(std::int64_t offset_bytes, std::int64_t nbytes) const {
    if (offset_bytes < 0 || nbytes < 0 || nbytes > nbytes_ - offset_bytes) {
      throw std::out_of_range(std::to_string(nbytes) + " bytes from byte " +
                              std::to_string(offset_bytes) + " do not all lie in a memory of " +
                              std::to_string(nbytes_));
    }
  }

 protected:
  Memory(std::int64_t nbytes, std::string policy) : nbytes_(nbytes), policy_(std::move(policy)) {}

  virtual void copy_out(std::int64_t offset_bytes, std::int64_t nbytes, std::byte* to) const {
    std::memcpy(to, data_ + offset_bytes, static_cast<std::size_t>(nbytes));
  }
  virtual void copy_in(std::int64_t offset_bytes, std::int64_t nbytes, const std::byte* from) {
    std::memcpy(data_ + offset_bytes, from, static_cast<std::size_t>(nbytes));
  }

  std::byte* data_ = nullptr;

 private:
  std::int64_t nbytes_;
  std::string policy_;
};

}  // namespace kvprof
