// The kernels that overwrite bytes: write, copy and fill.
#pragma once
#include "cpu/kernels_vector.hpp"

namespace kvprof {
namespace {

inline std::size_t bytes_to_alignment(const std::byte* at) {
  return (vector_bytes - reinterpret_cast<std::uintptr_t>(at) % vector_bytes) % vector_bytes;
}

inline std::size_t smaller(std::size_t a, std::size_t b) { return a < b ? a : b; }

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

template <bool non_temporal>
void copy(std::byte* to, const std::byte* from, std::size_t nbytes) {
  const std::size_t head = smaller(bytes_to_alignment(to), nbytes);
  std::memcpy(to, from, head);
  to += head;
  from += head;
  nbytes -= head;
  for (; nbytes >= vector_bytes; nbytes -= vector_bytes) {
    store_as<non_temporal>(to, load(from));
    to += vector_bytes;
    from += vector_bytes;
  }
  std::memcpy(to, from, nbytes);
}

constexpr std::uint64_t splitmix_step = 0x9E3779B97F4A7C15;

/// splitmix64's output function (Steele, Lea, Flood: Fast splittable pseudorandom number
/// generators, 2014), on one word or on several.
template <class Words>
Words splitmix(Words state) {
  state = (state ^ (state >> 30)) * std::uint64_t{0xBF58476D1CE4E5B9};
  state = (state ^ (state >> 27)) * std::uint64_t{0x94D049BB133111EB};
  return state ^ (state >> 31);
}

/// Fills bytes [begin, end) of the memory, word by word.
inline void fill_words(std::byte* memory, std::size_t begin, std::size_t end, std::uint64_t seed) {
  while (begin < end) {
    const std::uint64_t word = splitmix(seed + (begin / word_bytes + 1) * splitmix_step);
    std::byte bytes[word_bytes];
    std::memcpy(bytes, &word, word_bytes);
    const std::size_t within = begin % word_bytes;
    const std::size_t nbytes = smaller(word_bytes - within, end - begin);
    std::memcpy(memory + begin, bytes + within, nbytes);
    begin += nbytes;
  }
}

/// The memory itself must be aligned to a vector.
void fill(std::byte* memory, std::size_t begin, std::size_t end, std::uint64_t seed) {
  const std::size_t aligned = smaller(end, begin + bytes_to_alignment(memory + begin));
  fill_words(memory, begin, aligned, seed);
  Vector state;
  for (std::size_t lane = 0; lane < vector_words; ++lane) {
    state[lane] = seed + (aligned / word_bytes + lane + 1) * splitmix_step;
  }
  std::size_t at = aligned;
  for (; at + vector_bytes <= end; at += vector_bytes) {
    store_non_temporal(memory + at, splitmix(state));
    state += vector_words * splitmix_step;
  }
  fill_words(memory, at, end, seed);
  fence();
}

}  // namespace
}  // namespace kvprof
