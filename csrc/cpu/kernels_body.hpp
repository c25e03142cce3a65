// All kernels, for the instruction set of the file that includes this (see kernels.hpp). That file
// defines KVPROF_VECTOR_BYTES first, and its table with KVPROF_KERNEL_TABLE afterwards.
#pragma once
#include "cpu/kernels.hpp"
#include "cpu/kernels_copy.hpp"
#include "cpu/kernels_read.hpp"
#include "cpu/kernels_update.hpp"
#include "cpu/kernels_write.hpp"

namespace kvprof {
namespace {

template <class Kernel, std::size_t count>
constexpr Variants<Kernel> all_of(const Variant<Kernel> (&variants)[count]) {
  return {variants, count};
}

}  // namespace
}  // namespace kvprof

#define KVPROF_KERNEL_TABLE(instruction_set) \
  {instruction_set,                          \
   all_of(read_variants),                    \
   all_of(update_words_variants),            \
   all_of(update_float32_variants),          \
   all_of(update_bfloat16_variants),         \
   all_of(write_variants),                   \
   all_of(copy_variants),                    \
   all_of(append_variants),                  \
   read_plain_loop,                          \
   fence,                                    \
   fill}
