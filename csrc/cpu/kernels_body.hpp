// All kernels, for the instruction set of the file that includes this (see kernels.hpp). That file
// defines KVPROF_VECTOR_BYTES first, and its table with KVPROF_KERNEL_TABLE afterwards.
#pragma once
#include "cpu/kernels.hpp"
#include "cpu/kernels_store.hpp"
#include "cpu/kernels_visit.hpp"

#define KVPROF_KERNEL_TABLE(instruction_set) \
  {instruction_set, sum, add, write<false>, write<true>, copy<false>, copy<true>, fence, fill}
