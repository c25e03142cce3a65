#define KVPROF_VECTOR_BYTES 32
#include "cpu/kernels_body.hpp"

namespace kvprof {

const KernelTable avx2_kernels = KVPROF_KERNEL_TABLE("avx2");

}  // namespace kvprof
