// The kernels that write without reading: a repeated word, and pseudo-random bytes.
#pragma once
#include "cpu/kernels.hpp"
#include "cpu/kernels_vector.hpp"

namespace kvprof {
namespace {

template <bool non_temporal>
void store_as(std::byte* to, Vector value) {
  if constexpr (non_temporal) {
    store_non_temporal(to, value);
  } else {
    store(to, value);
  }
}

inline void write_words(std::byte* to, std::size_t nbytes, std::uint64_t word) {
  for (; nbytes >= word_bytes; to += word_bytes, nbytes -= word_bytes) {
    std::memcpy(to, &word, word_bytes);
  }
  std::memcpy(to, &word, nbytes);
}

/// The word that a pattern of `word` shows `shift` bytes further on.
inline std::uint64_t shifted_pattern(std::uint64_t word, std::size_t shift) {
  const std::size_t bits = shift % word_bytes * 8;
  return bits == 0 ? word : (word >> bits) | (word << (64 - bits));
}

template <bool non_temporal>
void write(std::byte* to, std::size_t nbytes, std::uint64_t word) {
  const std::size_t head = smaller(bytes_to_alignment(to), nbytes);
  write_words(to, head, word);
  word = shifted_pattern(word, head);
  to += head;
  nbytes -= head;
  const Vector value = Vector{} + word;
  for (; nbytes >= vector_bytes; to += vector_bytes, nbytes -= vector_bytes) {
    store_as<non_temporal>(to, value);
  }
  write_words(to, nbytes, word);
}

#if defined(__x86_64__)
/// The CPU's own string instruction, which knows how it writes whole lines best.
void write_rep_stosq(std::byte* to, std::size_t nbytes, std::uint64_t word) {
  std::size_t words = nbytes / word_bytes;
  asm volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(word) : "memory");
  write_words(to, nbytes % word_bytes, word);
}
#endif

constexpr Variant<WriteKernel> write_variants[] = {
#if defined(__x86_64__)
    {"non_temporal", write<true>},
    {"rep_stosq", write_rep_stosq},
#endif
    {"plain", write<false>},
#if defined(__aarch64__)
    {"non_temporal", write<true>},
#endif
};

constexpr std::uint64_t splitmix_step = 0x9E3779B97F4A7C15;

/// Signs and mantissas of bfloat16 as drawn, exponents of [0.5, 1): finite as float16, bfloat16
/// and, two together, as float32.
constexpr std::uint64_t finite_kept = 0x807F807F807F807F;
constexpr std::uint64_t finite_exponents = 0x3F003F003F003F00;

/// splitmix64's output function (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014), on one word or on several.
template <class Words>
Words splitmix(Words state, bool finite) {
  state = (state ^ (state >> 30)) * std::uint64_t{0xBF58476D1CE4E5B9};
  state = (state ^ (state >> 27)) * std::uint64_t{0x94D049BB133111EB};
  state = state ^ (state >> 31);
  return finite ? (state & finite_kept) | finite_exponents : state;
}

/// Fills bytes [begin, end) of the memory, word by word.
inline void fill_words(std::byte* memory, std::size_t begin, std::size_t end, std::uint64_t seed,
                       bool finite) {
  while (begin < end) {
    const std::uint64_t word = splitmix(seed + (begin / word_bytes + 1) * splitmix_step, finite);
    std::byte bytes[word_bytes];
    std::memcpy(bytes, &word, word_bytes);
    const std::size_t within = begin % word_bytes;
    const std::size_t nbytes = smaller(word_bytes - within, end - begin);
    std::memcpy(memory + begin, bytes + within, nbytes);
    begin += nbytes;
  }
}

/// The memory itself must be aligned to a vector.
void fill(std::byte* memory, std::size_t begin, std::size_t end, std::uint64_t seed, bool finite) {
  const std::size_t aligned = smaller(end, begin + bytes_to_alignment(memory + begin));
  fill_words(memory, begin, aligned, seed, finite);
  Vector state;
  for (std::size_t lane = 0; lane < vector_words; ++lane) {
    state[lane] = seed + (aligned / word_bytes + lane + 1) * splitmix_step;
  }
  std::size_t at = aligned;
  for (; at + vector_bytes <= end; at += vector_bytes) {
    store_non_temporal(memory + at, splitmix(state, finite));
    state += vector_words * splitmix_step;
  }
  fill_words(memory, at, end, seed, finite);
  fence();
}

}  // namespace
}  // namespace kvprof
