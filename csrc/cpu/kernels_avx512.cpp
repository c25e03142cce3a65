#define KVPROF_VECTOR_BYTES 64
#include "cpu/kernels_body.hpp"

namespace kvprof {

const KernelTable avx512_kernels = KVPROF_KERNEL_TABLE("avx512");

}  // namespace kvprof
