// The ceilings of the CPU backend: contiguous passes, with the kernels of the operations.
#include "cpu/cpu_backend.hpp"
#include "cpu/variants.hpp"
#include "device/checks.hpp"

namespace kvprof {
namespace {

constexpr std::uint64_t write_pattern = 0x3FA5BF5A3F33BFCC;
constexpr std::uint64_t addend = 0x0001000100010001;
constexpr std::size_t most_streams = 8;
constexpr const char* plain_loop = "plain_loop";

/// Cuts a share into equal streams and hands them to a kernel, which interleaves as many as it
/// does.
template <class Kernel>
std::uint64_t over_streams(std::byte* base, Share share, std::size_t streams, Kernel kernel) {
  Span spans[most_streams];
  for (std::size_t s = 0; s < streams; ++s) {
    const Share part = share_of(share.end - share.begin, s, streams, page_grain);
    spans[s] = {base + share.begin + part.begin, static_cast<std::size_t>(part.end - part.begin)};
  }
  return kernel(spans, streams, 0);
}

/// How many streams a variant of reading or updating interleaves; the usual one for an empty name.
template <class Kernel>
std::size_t streams_of(const std::string& name, const Variants<Kernel>& variants) {
  const std::string variant = name.empty() ? variants.first->name : name;
  return variant.rfind("eight", 0) == 0 ? 8 : variant.rfind("four", 0) == 0 ? 4 : 1;
}

}  // namespace

std::vector<std::string> CpuBackend::ceiling_variants(Ceiling kind) const {
  std::vector<std::string> names;
  switch (kind) {
    case Ceiling::read:
      names = names_of(kernels_.read);
      names.emplace_back(plain_loop);
      break;
    case Ceiling::rmw:
      names = names_of(kernels_.update_words);
      break;
    case Ceiling::write:
      names = names_of(kernels_.write);
      break;
    case Ceiling::copy:
      names = names_of(kernels_.copy);
      break;
  }
  return names;
}

StreamResult CpuBackend::ceiling(Memory& memory, Ceiling kind, const std::string& variant,
                                 std::int64_t offset_bytes, std::int64_t nbytes) {
  check_on_host(memory);
  memory.check_range(offset_bytes, nbytes);
  std::byte* base = memory.data() + offset_bytes;
  switch (kind) {
    case Ceiling::read:
      return read_ceiling(base, variant, nbytes);
    case Ceiling::rmw:
      return rmw_ceiling(base, variant, nbytes);
    case Ceiling::write:
      return write_ceiling(base, variant, nbytes);
    case Ceiling::copy:
      break;
  }
  return copy_ceiling(base, variant, nbytes);
}

StreamResult CpuBackend::read_ceiling(std::byte* base, const std::string& variant,
                                      std::int64_t nbytes) {
  const ReadKernel kernel =
      variant == plain_loop ? kernels_.read_plain_loop : variant_named(variant, kernels_.read);
  const std::size_t streams = streams_of(variant, kernels_.read);
  return stream(nbytes, page_grain, nbytes,
                [&](Share share) { return over_streams(base, share, streams, kernel); });
}

StreamResult CpuBackend::rmw_ceiling(std::byte* base, const std::string& variant,
                                     std::int64_t nbytes) {
  check_words(nbytes);
  const UpdateKernel kernel = variant_named(variant, kernels_.update_words);
  const auto add = [&](const Span* spans, std::size_t count, std::size_t ahead) {
    return kernel(spans, count, ahead, {addend, 1, 0});
  };
  const std::size_t streams = streams_of(variant, kernels_.update_words);
  return stream(nbytes, page_grain, 2 * nbytes,
                [&](Share share) { return over_streams(base, share, streams, add); });
}

StreamResult CpuBackend::write_ceiling(std::byte* base, const std::string& variant,
                                       std::int64_t nbytes) {
  const WriteKernel kernel = variant_named(variant, kernels_.write);
  return stream(nbytes, page_grain, nbytes, [&](Share share) -> std::uint64_t {
    kernel(base + share.begin, static_cast<std::size_t>(share.end - share.begin), write_pattern);
    kernels_.fence();
    return 0;
  });
}

StreamResult CpuBackend::copy_ceiling(std::byte* base, const std::string& variant,
                                      std::int64_t nbytes) {
  const std::int64_t half = nbytes / 2;
  const CopyKernel kernel = variant_named(variant, kernels_.copy);
  return stream(half, page_grain, 2 * half, [&](Share share) -> std::uint64_t {
    kernel(base + half + share.begin, base + share.begin,
           static_cast<std::size_t>(share.end - share.begin), nullptr);
    kernels_.fence();
    return 0;
  });
}

}  // namespace kvprof
