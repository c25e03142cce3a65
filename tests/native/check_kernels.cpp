// Every variant of the kernels that this CPU selects, against a plain loop: the check for machines
// where Python does not run, such as an emulator of another architecture. Prints what differs.
// .ci/run says how it is compiled.
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "cpu/kernels.hpp"

namespace {

using namespace kvprof;

constexpr std::size_t memory_bytes = 1 << 16;
constexpr UpdateTerms terms{0x0123456789ABCDEF, 0.9F, 0.3F};

int failures = 0;

void expect(bool same, const std::string& what) {
  if (same) return;
  std::printf("differs: %s\n", what.c_str());
  ++failures;
}

struct alignas(64) Bytes {
  std::byte data[memory_bytes];

  bool operator==(const Bytes& other) const {
    return std::memcmp(data, other.data, memory_bytes) == 0;
  }
};

/// Finite floats of either width.
Bytes filled(const KernelTable& kernels) {
  Bytes bytes;
  kernels.fill(bytes.data, 0, memory_bytes, 1, true);
  return bytes;
}

/// Spans of whole words that do not touch, aligned to floats and to nothing more.
std::vector<Span> spans_of(Bytes& bytes, std::size_t nbytes) {
  std::vector<Span> spans;
  for (std::size_t at = 4; at + nbytes < memory_bytes; at += nbytes + 4) {
    spans.push_back({bytes.data + at, nbytes});
  }
  return spans;
}

template <class T>
T get(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

template <class T>
void put(std::byte* at, T value) {
  std::memcpy(at, &value, sizeof value);
}

void add_word(std::byte* at) { put(at, get<std::uint64_t>(at) + terms.addend); }

void decay_float32(std::byte* at) {
  const float product = get<float>(at) * terms.decay;
  put(at, product + terms.input);
}

void decay_bfloat16(std::byte* at) {
  std::byte wide[4] = {};
  std::memcpy(wide + 2, at, 2);
  decay_float32(wide);
  const auto bits = get<std::uint32_t>(wide);
  const std::uint32_t rest = bits & 0xFFFF;
  const std::uint32_t kept = bits >> 16;
  const bool up = rest > 0x8000 || (rest == 0x8000 && kept % 2 == 1);
  put(at, static_cast<std::uint16_t>(kept + up));
}

std::uint64_t sum_of(const std::vector<Span>& spans) {
  std::uint64_t sum = 0;
  for (const Span& span : spans) {
    for (std::size_t i = 0; i < span.nbytes; i += 8) sum += get<std::uint64_t>(span.data + i);
  }
  return sum;
}

void check_reads(const KernelTable& kernels, std::size_t nbytes) {
  Bytes bytes = filled(kernels);
  const std::vector<Span> spans = spans_of(bytes, nbytes);
  for (const auto& [name, read] : kernels.read) {
    expect(read(spans.data(), spans.size(), 0) == sum_of(spans), std::string("read ") + name);
  }
  expect(kernels.read_plain_loop(spans.data(), spans.size(), 0) == sum_of(spans),
         "read_plain_loop");
}

void check_updates(const KernelTable& kernels, const Variants<UpdateKernel>& variants,
                   const std::string& what, std::size_t element_bytes, void (*update)(std::byte*),
                   std::size_t nbytes) {
  Bytes expected = filled(kernels);
  const std::vector<Span> plain = spans_of(expected, nbytes);
  for (const Span& span : plain) {
    for (std::size_t i = 0; i < span.nbytes; i += element_bytes) update(span.data + i);
  }
  for (const auto& [name, run] : variants) {
    Bytes bytes = filled(kernels);
    const std::vector<Span> spans = spans_of(bytes, nbytes);
    const std::uint64_t sum = run(spans.data(), spans.size(), 0, terms);
    expect(sum == sum_of(plain) && bytes == expected, what + name);
  }
}

void check_writes(const KernelTable& kernels, std::size_t offset, std::size_t nbytes) {
  for (const auto& [name, write] : kernels.write) {
    Bytes bytes = filled(kernels);
    Bytes expected = bytes;
    for (std::size_t i = 0; i < nbytes; ++i) {
      expected.data[offset + i] = static_cast<std::byte>(terms.addend >> (i % 8 * 8));
    }
    write(bytes.data + offset, nbytes, terms.addend);
    kernels.fence();
    expect(bytes == expected, std::string("write ") + name);
  }
}

void check_copies(const KernelTable& kernels, std::size_t offset, std::size_t nbytes) {
  const Bytes source = filled(kernels);
  for (const auto& [name, copy] : kernels.copy) {
    Bytes bytes = {};
    Bytes expected = {};
    std::memcpy(expected.data + offset, source.data + 9, nbytes);
    copy(bytes.data + offset, source.data + 9, nbytes, source.data);
    kernels.fence();
    expect(bytes == expected, std::string("copy ") + name);
  }
}

void check_denormals(const Variants<UpdateKernel>& variants) {
  for (const auto& [name, run] : variants) {
    std::uint64_t denormals = 0x0000000100000001;
    const Span span{reinterpret_cast<std::byte*>(&denormals), 8};
    run(&span, 1, 0, {0, 1, 0});
    expect(denormals == 0, std::string("denormals of float32 ") + name);
  }
  volatile float least = 1e-45F;
  expect(least + least > least, "denormals of the caller");
}

}  // namespace

int main() {
  using Sizes = std::initializer_list<std::size_t>;
  const KernelTable& kernels = select_kernels();
  for (const std::size_t nbytes : Sizes{8, 24, 64, 136, 576, 4096, 20000}) {
    check_reads(kernels, nbytes);
    check_updates(kernels, kernels.update_words, "words ", 8, add_word, nbytes);
    check_updates(kernels, kernels.update_float32, "float32 ", 4, decay_float32, nbytes);
    check_updates(kernels, kernels.update_bfloat16, "bfloat16 ", 2, decay_bfloat16, nbytes);
    for (const std::size_t offset : Sizes{0, 1, 16, 77}) {
      check_writes(kernels, offset, nbytes + offset % 8);
      check_copies(kernels, offset, nbytes + offset % 8);
    }
  }
  check_denormals(kernels.update_float32);
  std::printf("%s: %d differences\n", kernels.instruction_set, failures);
  return failures == 0 ? 0 : 1;
}
