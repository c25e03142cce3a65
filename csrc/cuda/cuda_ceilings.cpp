// The ceilings of the CUDA backend: contiguous passes, with the kernels of the operations and with
// the driver's own.
#include "cuda/cuda_backend.hpp"
#include "cuda/cuda_check.hpp"
#include "cuda/variant_names.hpp"
#include "device/checks.hpp"

namespace kvprof::cuda {
namespace {

constexpr std::uint64_t write_pattern = 0x3FA5BF5A3F33BFCC;
constexpr int driver_pattern = 0xA5;
constexpr std::uint64_t addend = 0x0001000100010001;
constexpr const char* driver = "driver";

}  // namespace

std::vector<std::string> CudaBackend::ceiling_variants(Ceiling kind) const {
  std::vector<std::string> names;
  switch (kind) {
    case Ceiling::read:
      return variants(Stream::decode_read);
    case Ceiling::rmw:
      return variants(Stream::state_update);
    case Ceiling::write:
      names = variants(Stream::zero);
      break;
    case Ceiling::copy:
      names = variants(Stream::block_copy);
      break;
  }
  names.emplace_back(driver);
  return names;
}

Work CudaBackend::ceiling_work(Ceiling kind, const std::string& way, std::byte* start,
                               std::int64_t nbytes) {
  const Launch launch = context_->launch();
  const ContiguousSpans span{reinterpret_cast<std::uint64_t>(start), nbytes};
  const std::int64_t half = nbytes / 2;
  const bool by_the_driver = way == driver;
  const std::size_t variant = variant_index(way, ceiling_variants(kind));
  switch (kind) {
    case Ceiling::read:
      return read_work(launch, span, variant, checksums_.totals());
    case Ceiling::rmw:
      return update_work(launch, span, addend, variant, checksums_.totals());
    case Ceiling::write:
      if (!by_the_driver) return write_work(launch, span, write_pattern);
      return [=] {
        check(
            cudaMemsetAsync(start, driver_pattern, static_cast<std::size_t>(nbytes), launch.stream),
            "cudaMemsetAsync");
      };
    case Ceiling::copy:
      break;
  }
  if (!by_the_driver) {
    return copy_work(launch, ContiguousCopies{span.base, span.base + half, half}, variant);
  }
  return [=] {
    check(cudaMemcpyAsync(start + half, start, static_cast<std::size_t>(half),
                          cudaMemcpyDeviceToDevice, launch.stream),
          "cudaMemcpyAsync");
  };
}

StreamResult CudaBackend::ceiling(Memory& memory, Ceiling kind, const std::string& variant,
                                  std::int64_t offset_bytes, std::int64_t nbytes) {
  check_reach(memory);
  memory.check_range(offset_bytes, nbytes);
  if (kind == Ceiling::rmw) check_words(nbytes);
  const std::vector<std::string> names = ceiling_variants(kind);
  const std::string& way = names[variant_index(variant, names)];
  const Turn turn(*context_);
  const Work work = ceiling_work(kind, way, memory.data() + offset_bytes, nbytes);
  switch (kind) {
    case Ceiling::read:
      return pass("ceiling read", nbytes, work);
    case Ceiling::rmw:
      return pass("ceiling rmw", 2 * nbytes, work);
    case Ceiling::write:
      return pass("ceiling write", nbytes, work);
    case Ceiling::copy:
      break;
  }
  return pass("ceiling copy", nbytes / 2 * 2, work);
}

}  // namespace kvprof::cuda
