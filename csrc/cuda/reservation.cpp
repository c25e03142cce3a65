#include "cuda/reservation.hpp"

#include <algorithm>
#include <stdexcept>

#include "cuda/cuda_check.hpp"
#include "cuda/driver.hpp"
#include "device/backend.hpp"
#include "device/checks.hpp"

namespace kvprof::cuda {
namespace {

/// More pieces than this would take long to map and tell no more.
constexpr std::size_t most_pieces = 512;

class PlainReservation final : public Reservation {
 public:
  explicit PlainReservation(std::size_t nbytes) {
    void* data = nullptr;
    check_allocation(cudaMalloc(&data, nbytes), [] { return std::string("cudaMalloc failed"); });
    data_ = static_cast<std::byte*>(data);
  }
  ~PlainReservation() override { cudaFree(data_); }
};

/// Whoever uses it on another stream waits for the context's first, and ends before it does.
class PoolReservation final : public Reservation {
 public:
  PoolReservation(DeviceContext& context, std::size_t nbytes) : stream_(context.stream()) {
    void* data = nullptr;
    check_allocation(cudaMallocFromPoolAsync(&data, nbytes, context.pool(), stream_),
                     [] { return std::string("cudaMallocFromPoolAsync failed"); });
    data_ = static_cast<std::byte*>(data);
  }
  ~PoolReservation() override { cudaFreeAsync(data_, stream_); }

 private:
  cudaStream_t stream_;
};

/// A physical piece, mapped while it lives.
class MappedPiece {
 public:
  MappedPiece(CUdeviceptr at, std::size_t nbytes, const CUmemAllocationProp& properties)
      : at_(at), nbytes_(nbytes) {
    const Driver& driver = Driver::get();
    CUmemGenericAllocationHandle handle{};
    check(driver.create(&handle, nbytes, &properties, 0), "cuMemCreate");
    const CUresult mapped = driver.map(at, nbytes, 0, handle, 0);
    driver.release(handle);  // the mapping holds it from here on
    check(mapped, "cuMemMap");
  }
  ~MappedPiece() {
    if (nbytes_ > 0) Driver::get().unmap(at_, nbytes_);
  }
  MappedPiece(MappedPiece&& other) noexcept : at_(other.at_), nbytes_(other.nbytes_) {
    other.nbytes_ = 0;
  }
  MappedPiece(const MappedPiece&) = delete;
  MappedPiece& operator=(const MappedPiece&) = delete;

 private:
  CUdeviceptr at_;
  std::size_t nbytes_;
};

class AddressRange {
 public:
  AddressRange(std::size_t nbytes, std::size_t alignment) : nbytes_(nbytes) {
    check(Driver::get().reserve(&start_, nbytes, alignment, 0, 0), "cuMemAddressReserve");
  }
  ~AddressRange() { Driver::get().unreserve(start_, nbytes_); }
  AddressRange(const AddressRange&) = delete;
  AddressRange& operator=(const AddressRange&) = delete;

  CUdeviceptr start() const { return start_; }

 private:
  CUdeviceptr start_ = 0;
  std::size_t nbytes_;
};

std::size_t rounded_up(std::size_t nbytes, std::size_t grain) {
  return (nbytes + grain - 1) / grain * grain;
}

CUmemAllocationProp properties_of(int device) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
  properties.location.id = device;
  return properties;
}

std::size_t granularity_of(const CUmemAllocationProp& properties) {
  std::size_t granularity = 0;
  check(Driver::get().granularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM),
        "cuMemGetAllocationGranularity");
  return granularity;
}

/// Members end in reverse: the pieces are unmapped before the range is given back.
class VmmReservation final : public Reservation {
 public:
  VmmReservation(int device, std::size_t nbytes)
      : properties_(properties_of(device)),
        granularity_(granularity_of(properties_)),
        mapped_bytes_(rounded_up(nbytes, granularity_)),
        range_(mapped_bytes_, granularity_) {
    const std::size_t piece =
        std::max(granularity_, rounded_up(mapped_bytes_ / most_pieces, granularity_));
    for (std::size_t at = 0; at < mapped_bytes_; at += piece) {
      pieces_.emplace_back(range_.start() + at, std::min(piece, mapped_bytes_ - at), properties_);
    }
    CUmemAccessDesc access{};
    access.location = properties_.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    check(Driver::get().set_access(range_.start(), mapped_bytes_, &access, 1), "cuMemSetAccess");
    data_ = reinterpret_cast<std::byte*>(range_.start());
  }

 private:
  CUmemAllocationProp properties_;
  std::size_t granularity_;
  std::size_t mapped_bytes_;
  AddressRange range_;
  std::vector<MappedPiece> pieces_;
};

}  // namespace

std::vector<std::string> reservation_policies(int device) {
  const Driver& driver = Driver::get();
  const auto supports = [&](CUdevice_attribute feature) {
    CUdevice handle = 0;
    int supported = 0;
    check(driver.device(&handle, device), "cuDeviceGet");
    check(driver.attribute(&supported, feature, handle), "cuDeviceGetAttribute");
    return supported != 0;
  };
  std::vector<std::string> names{"plain"};
  if (supports(CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)) names.emplace_back("pool");
  if (supports(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED)) names.emplace_back("vmm");
  return names;
}

namespace {

std::unique_ptr<Reservation> reserve_by(DeviceContext& context, std::int64_t nbytes,
                                        const std::string& policy) {
  const auto size = static_cast<std::size_t>(nbytes);
  if (policy == "plain") return std::make_unique<PlainReservation>(size);
  if (policy == "pool") return std::make_unique<PoolReservation>(context, size);
  if (policy == "vmm") return std::make_unique<VmmReservation>(context.index(), size);
  throw std::invalid_argument("policy is '" + policy + "', a CUDA device has plain, pool and vmm");
}

AllocationError refusal(std::int64_t nbytes, DeviceContext& context, const std::string& why) {
  return AllocationError("cannot allocate " + std::to_string(nbytes) + " bytes on CUDA device " +
                         std::to_string(context.index()) + ": " +
                         std::to_string(context.free_bytes()) + " bytes of " +
                         std::to_string(context.total_bytes()) + " are free" + why);
}

}  // namespace

std::unique_ptr<Reservation> reserve(DeviceContext& context, std::int64_t nbytes,
                                     std::int64_t guard_bytes, const std::string& policy) {
  check_size(nbytes);
  if (nbytes > context.total_bytes()) throw refusal(nbytes, context, "");
  const std::int64_t all = nbytes + guard_bytes;
  try {
    return reserve_by(context, all, policy);
  } catch (const AllocationError&) {
    // What the pool keeps though nobody uses it is given back: there may be room now.
    if (all > context.free_bytes()) throw refusal(nbytes, context, "");
  }
  try {
    return reserve_by(context, all, policy);
  } catch (const AllocationError& error) {
    throw refusal(nbytes, context, std::string(" (") + error.what() + ")");
  }
}

}  // namespace kvprof::cuda
