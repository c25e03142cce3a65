// The kernels that update in place: integers, and the floats that recurrent states are kept in.
#pragma once
#include "cpu/kernels_visit.hpp"

namespace kvprof {
namespace {

/// Adds to 64-bit words: memory traffic with the least arithmetic.
struct AddWords {
  std::uint64_t addend;

  Vector vector(std::byte* at) const {
    const Vector value = load(at) + addend;
    store(at, value);
    return value;
  }
  std::uint64_t word(std::byte* at, std::size_t nbytes) const {
    std::uint64_t value = 0;
    std::memcpy(&value, at, nbytes);
    value += addend;
    std::memcpy(at, &value, nbytes);
    // The last bytes of a run are a word of their own: what does not fit in them is lost.
    return nbytes == word_bytes ? value : value & ((std::uint64_t{1} << (8 * nbytes)) - 1);
  }
};

/// The product is rounded before the sum (this is compiled without contraction), as NumPy does.
inline VectorFloat decayed(VectorFloat value, const UpdateTerms& terms) {
  return value * terms.decay + terms.input;
}

/// x * decay + input in float32.
struct DecayFloat32 {
  UpdateTerms terms;

  Vector vector(std::byte* at) const {
    const Vector value = (Vector)decayed((VectorFloat)load(at), terms);
    store(at, value);
    return value;
  }
  std::uint64_t word(std::byte* at, std::size_t nbytes) const {
    for (std::size_t done = 0; done < nbytes; done += sizeof(float)) {
      float value;
      std::memcpy(&value, at + done, sizeof value);
      value = value * terms.decay;
      value = value + terms.input;
      std::memcpy(at + done, &value, sizeof value);
    }
    std::uint64_t word = 0;
    std::memcpy(&word, at, nbytes);
    return word;
  }
};

constexpr std::uint32_t upper_half = 0xFFFF0000;

/// The upper half of a float's bits, rounded to nearest even; the value must be finite.
template <class Bits>
Bits rounded_to_upper_half(Bits bits) {
  return bits + (((bits >> 16) & 1u) + 0x7FFFu);
}

/// x * decay + input in float32, kept in bfloat16.
struct DecayBfloat16 {
  UpdateTerms terms;

  Vector vector(std::byte* at) const {
    const Vector32 pairs = (Vector32)load(at);
    const Vector32 upper = updated(pairs & upper_half);
    const Vector32 lower = updated(pairs << 16);
    const Vector value = (Vector)((upper & upper_half) | (lower >> 16));
    store(at, value);
    return value;
  }
  std::uint64_t word(std::byte* at, std::size_t nbytes) const {
    for (std::size_t done = 0; done < nbytes; done += sizeof(std::uint16_t)) {
      std::uint16_t kept;
      std::memcpy(&kept, at + done, sizeof kept);
      std::uint32_t bits = std::uint32_t{kept} << 16;
      float value;
      std::memcpy(&value, &bits, sizeof value);
      value = value * terms.decay;
      value = value + terms.input;
      std::memcpy(&bits, &value, sizeof bits);
      kept = static_cast<std::uint16_t>(rounded_to_upper_half(bits) >> 16);
      std::memcpy(at + done, &kept, sizeof kept);
    }
    std::uint64_t word = 0;
    std::memcpy(&word, at, nbytes);
    return word;
  }

 private:
  Vector32 updated(Vector32 bits) const {
    return rounded_to_upper_half((Vector32)decayed((VectorFloat)bits, terms));
  }
};

/// Denormal floats count as zero while this lives, as inference runtimes have it: on many CPUs they
/// are computed a hundred times more slowly.
class DenormalsAreZero {
 public:
  DenormalsAreZero() : before_(control()) { set_control(before_ | flush); }
  ~DenormalsAreZero() { set_control(before_); }
  DenormalsAreZero(const DenormalsAreZero&) = delete;
  DenormalsAreZero& operator=(const DenormalsAreZero&) = delete;

 private:
#if defined(__x86_64__)
  using Control = unsigned;
  static constexpr Control flush = 0x8040;  // of operands, of results
  static Control control() { return _mm_getcsr(); }
  static void set_control(Control value) { _mm_setcsr(value); }
#elif defined(__aarch64__)
  using Control = std::uint64_t;
  static constexpr Control flush = Control{1} << 24;
  static Control control() {
    Control value;
    asm volatile("mrs %0, fpcr" : "=r"(value) : : "memory");
    return value;
  }
  static void set_control(Control value) { asm volatile("msr fpcr, %0" : : "r"(value) : "memory"); }
#else
  using Control = int;
  static constexpr Control flush = 0;
  static Control control() { return 0; }
  static void set_control(Control) {}
#endif

  Control before_;
};

template <class Order>
std::uint64_t update_words(const Span* spans, std::size_t count, std::size_t ahead,
                           UpdateTerms terms) {
  return visit_spans<Order>(spans, count, ahead, AddWords{terms.addend});
}

template <class Order>
std::uint64_t update_float32(const Span* spans, std::size_t count, std::size_t ahead,
                             UpdateTerms terms) {
  const DenormalsAreZero scope;
  return visit_spans<Order>(spans, count, ahead, DecayFloat32{terms});
}

template <class Order>
std::uint64_t update_bfloat16(const Span* spans, std::size_t count, std::size_t ahead,
                              UpdateTerms terms) {
  const DenormalsAreZero scope;
  return visit_spans<Order>(spans, count, ahead, DecayBfloat16{terms});
}

constexpr Variant<UpdateKernel> update_words_variants[] = {KVPROF_VISIT_VARIANTS(update_words)};
constexpr Variant<UpdateKernel> update_float32_variants[] = {KVPROF_VISIT_VARIANTS(update_float32)};
constexpr Variant<UpdateKernel> update_bfloat16_variants[] = {
    KVPROF_VISIT_VARIANTS(update_bfloat16)};

}  // namespace
}  // namespace kvprof
