// The ceilings of the CPU backend: contiguous passes, with the kernels of the operations.
#include <algorithm>
#include <stdexcept>

#include "cpu/cpu_backend.hpp"

namespace kvprof {
namespace {

constexpr std::uint64_t write_pattern = 0xA5C3D2E1F0B49687;
constexpr std::uint64_t addend = 0x9E3779B97F4A7C15;
constexpr std::size_t most_streams = 8;

/// Cuts a share into equal streams and hands them to a kernel, which interleaves them.
template <class Kernel>
std::uint64_t over_streams(std::byte* base, Share share, std::size_t streams, Kernel kernel) {
  Span spans[most_streams];
  for (std::size_t s = 0; s < streams; ++s) {
    const Share part = share_of(share.end - share.begin, s, streams, page_grain);
    spans[s] = {base + share.begin + part.begin, static_cast<std::size_t>(part.end - part.begin)};
  }
  return kernel(spans, streams, 0);
}

std::size_t index_of(const std::vector<std::string>& variants, const std::string& variant) {
  const auto found = std::find(variants.begin(), variants.end(), variant);
  if (found != variants.end()) return static_cast<std::size_t>(found - variants.begin());
  std::string names;
  for (const std::string& name : variants) names += (names.empty() ? "" : ", ") + name;
  throw std::invalid_argument("variant is '" + variant + "', this ceiling has: " + names);
}

}  // namespace

std::vector<std::string> CpuBackend::ceiling_variants(Ceiling kind) const {
  if (kind == Ceiling::read || kind == Ceiling::rmw) return {"one_stream", "eight_streams"};
  return {"non_temporal", "plain"};
}

StreamResult CpuBackend::ceiling(Memory& memory, Ceiling kind, const std::string& variant,
                                 std::int64_t offset_bytes, std::int64_t nbytes) {
  memory.check_range(offset_bytes, nbytes);
  const bool second = index_of(ceiling_variants(kind), variant) == 1;
  std::byte* base = memory.data() + offset_bytes;
  if (kind == Ceiling::read || kind == Ceiling::rmw) {
    return visit_ceiling(base, kind, second ? most_streams : 1, nbytes);
  }
  return store_ceiling(base, kind, !second, nbytes);
}

StreamResult CpuBackend::visit_ceiling(std::byte* base, Ceiling kind, std::size_t streams,
                                       std::int64_t nbytes) {
  if (kind == Ceiling::read) {
    return stream(nbytes, page_grain, nbytes,
                  [&](Share share) { return over_streams(base, share, streams, kernels_.sum); });
  }
  if (nbytes % 8 != 0) {
    throw std::invalid_argument(std::to_string(nbytes) +
                                " bytes are not whole 64-bit words, rmw needs them");
  }
  const auto add = [&](const Span* spans, std::size_t count, std::size_t ahead) {
    return kernels_.add(spans, count, ahead, addend);
  };
  return stream(nbytes, page_grain, 2 * nbytes,
                [&](Share share) { return over_streams(base, share, streams, add); });
}

StreamResult CpuBackend::store_ceiling(std::byte* base, Ceiling kind, bool non_temporal,
                                       std::int64_t nbytes) {
  if (kind == Ceiling::write) {
    const auto write = non_temporal ? kernels_.write_non_temporal : kernels_.write_plain;
    return stream(nbytes, page_grain, nbytes, [&](Share share) -> std::uint64_t {
      write(base + share.begin, static_cast<std::size_t>(share.end - share.begin), write_pattern);
      kernels_.fence();
      return 0;
    });
  }
  const std::int64_t half = nbytes / 2;
  const auto copy = non_temporal ? kernels_.copy_non_temporal : kernels_.copy_plain;
  return stream(half, page_grain, 2 * half, [&](Share share) -> std::uint64_t {
    copy(base + half + share.begin, base + share.begin,
         static_cast<std::size_t>(share.end - share.begin));
    kernels_.fence();
    return 0;
  });
}

}  // namespace kvprof
