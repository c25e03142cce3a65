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

StreamResult CudaBackend::ceiling(Memory& memory, Ceiling kind, const std::string& variant,
                                  std::int64_t offset_bytes, std::int64_t nbytes) {
  check_reach(memory);
  memory.check_range(offset_bytes, nbytes);
  if (kind == Ceiling::rmw) check_words(nbytes);
  const std::vector<std::string> names = ceiling_variants(kind);
  const std::size_t way = variant_index(variant, names);
  const bool by_the_driver = names[way] == driver;
  const Turn turn(*context_);
  std::byte* start = memory.data() + offset_bytes;
  const ContiguousSpans span{reinterpret_cast<std::uint64_t>(start), nbytes};
  const std::int64_t half = nbytes / 2;
  const Launch launch = context_->launch();
  switch (kind) {
    case Ceiling::read:
      return pass("ceiling read", nbytes,
                  [&](Totals totals) { launch_read(launch, span, way, totals); });
    case Ceiling::rmw:
      return pass("ceiling rmw", 2 * nbytes, [&](Totals totals) {
        launch_update(launch, span, Update{Element::word64, addend, 1, 0}, way, totals);
      });
    case Ceiling::write:
      return pass("ceiling write", nbytes, [&](Totals) {
        if (!by_the_driver) return launch_write(launch, span, write_pattern);
        check(
            cudaMemsetAsync(start, driver_pattern, static_cast<std::size_t>(nbytes), launch.stream),
            "cudaMemsetAsync");
      });
    case Ceiling::copy:
      break;
  }
  return pass("ceiling copy", 2 * half, [&](Totals) {
    if (!by_the_driver) {
      return launch_copy(launch, ContiguousCopies{span.base, span.base + half, half}, way);
    }
    check(cudaMemcpyAsync(start + half, start, static_cast<std::size_t>(half),
                          cudaMemcpyDeviceToDevice, launch.stream),
          "cudaMemcpyAsync");
  });
}

}  // namespace kvprof::cuda
