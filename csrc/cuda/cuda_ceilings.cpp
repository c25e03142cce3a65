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
  names.emplace_back("driver");
  return names;
}

CudaBackend::Pass CudaBackend::ceiling_pass(Ceiling kind, std::size_t variant, std::byte* start,
                                            std::int64_t nbytes) {
  const Launch launch = context_->launch();
  const ContiguousSpans span{reinterpret_cast<std::uint64_t>(start), nbytes};
  const std::int64_t half = nbytes / 2;
  switch (kind) {
    case Ceiling::read:
      return {"ceiling read", nbytes, read_work(launch, span, variant, checksums_->totals())};
    case Ceiling::rmw:
      return {"ceiling rmw", 2 * nbytes,
              update_work(launch, span, addend, variant, checksums_->totals())};
    case Ceiling::write:
      if (variant < variants(Stream::zero).size()) {
        return {"ceiling write", nbytes, write_work(launch, span, write_pattern)};
      }
      return {"ceiling write", nbytes, [=] {
                check(cudaMemsetAsync(start, driver_pattern, static_cast<std::size_t>(nbytes),
                                      launch.stream),
                      "cudaMemsetAsync");
              }};
    case Ceiling::copy:
      break;
  }
  if (variant < vector_variants().size()) {
    const ContiguousCopies copies{span.base, span.base + static_cast<std::uint64_t>(half), half};
    return {"ceiling copy", 2 * half, copy_work(launch, copies, variant)};
  }
  return {"ceiling copy", 2 * half, [=] {
            check(cudaMemcpyAsync(start + half, start, static_cast<std::size_t>(half),
                                  cudaMemcpyDefault, launch.stream),
                  "cudaMemcpyAsync");
          }};
}

StreamResult CudaBackend::ceiling(Memory& memory, Ceiling kind, const std::string& variant,
                                  std::int64_t offset_bytes, std::int64_t nbytes) {
  check_reach(memory);
  memory.check_range(offset_bytes, nbytes);
  if (kind == Ceiling::rmw) check_words(nbytes);
  const std::size_t way = variant_index(variant, ceiling_variants(kind));
  const Turn turn(*context_);
  const Pass pass = ceiling_pass(kind, way, memory.data() + offset_bytes, nbytes);
  if (way + 1 == ceiling_variants(kind).size() && warm_.insert(kind).second) {
    // The driver may load what its own fill and copy need at the first of them: not behind a kernel
    // that holds the stream back.
    pass.work();
    context_->synchronize();
  }
  return run(pass);
}

}  // namespace kvprof::cuda
