// The kernels that copy.
#pragma once
#include "cpu/kernels.hpp"
#include "cpu/kernels_vector.hpp"
#include "cpu/kernels_write.hpp"

namespace kvprof {
namespace {

/// A distance that no span reaches: all that is prefetched is the start of the next one.
constexpr std::size_t whole_span = std::size_t{1} << 40;

/// Copies [0, nbytes) in whole lines and returns how far it came; prefetches `asked`, where it is
/// not null, line by line.
template <bool non_temporal>
std::size_t copy_lines(std::byte* to, const std::byte* from, std::size_t nbytes,
                       const std::byte* asked) {
  constexpr std::size_t line_vectors = line_bytes / vector_bytes;
  std::size_t done = 0;
  for (; done + line_bytes <= nbytes; done += line_bytes) {
    if (asked != nullptr) prefetch_to_l2(asked + done);
    Vector values[line_vectors];
    for (std::size_t i = 0; i < line_vectors; ++i) values[i] = load(from + done + i * vector_bytes);
    for (std::size_t i = 0; i < line_vectors; ++i) {
      store_as<non_temporal>(to + done + i * vector_bytes, values[i]);
    }
  }
  return done;
}

/// Copies through registers. With a distance it prefetches what it will read so many bytes later,
/// at the end of the source the start of the next one.
template <bool non_temporal, std::size_t distance_bytes>
void copy_vectors(std::byte* to, const std::byte* from, std::size_t nbytes, const std::byte* next) {
  const std::size_t head = smaller(bytes_to_alignment(to), nbytes);
  std::memcpy(to, from, head);
  std::size_t done = head;
  if (distance_bytes > 0 && nbytes > head + distance_bytes) {
    const std::size_t own = nbytes - head - distance_bytes;
    done += copy_lines<non_temporal>(to + done, from + done, own, from + done + distance_bytes);
  }
  const std::byte* asked = distance_bytes > 0 ? next : nullptr;
  done += copy_lines<non_temporal>(to + done, from + done, nbytes - done, asked);
  std::memcpy(to + done, from + done, nbytes - done);
}

#if defined(__x86_64__)
/// The CPU's own string instruction, which knows how it writes whole lines best.
void copy_rep_movsb(std::byte* to, const std::byte* from, std::size_t nbytes, const std::byte*) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(nbytes) : : "memory");
}
#endif

void copy_memcpy(std::byte* to, const std::byte* from, std::size_t nbytes, const std::byte*) {
  std::memcpy(to, from, nbytes);
}

/// Of rows that are in cache: there is nothing to prefetch. The usual winners come first: past the
/// cache where it is x86-64.
constexpr Variant<CopyKernel> append_variants[] = {
#if defined(__x86_64__)
    {"non_temporal", copy_vectors<true, 0>}, {"rep_movsb", copy_rep_movsb},
#endif
    {"plain", copy_vectors<false, 0>},       {"memcpy", copy_memcpy},
#if defined(__aarch64__)
    {"non_temporal", copy_vectors<true, 0>},
#endif
};

constexpr Variant<CopyKernel> copy_variants[] = {
#if defined(__x86_64__)
    {"non_temporal_next", copy_vectors<true, whole_span>},
    {"non_temporal_ahead", copy_vectors<true, 4096>},
    {"non_temporal", copy_vectors<true, 0>},
    {"rep_movsb", copy_rep_movsb},
#endif
    {"plain", copy_vectors<false, 0>},
    {"memcpy", copy_memcpy},
#if defined(__aarch64__)
    {"non_temporal", copy_vectors<true, 0>},
    {"non_temporal_next", copy_vectors<true, whole_span>},
#endif
};

}  // namespace
}  // namespace kvprof
