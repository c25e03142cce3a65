// The instructions that every CPU of the architecture has: SSE2 on x86-64, NEON on aarch64.
#define KVPROF_VECTOR_BYTES 16
#include "cpu/kernels_body.hpp"

namespace kvprof {

#if defined(__aarch64__)
const KernelTable baseline_kernels = KVPROF_KERNEL_TABLE("neon");
#else
const KernelTable baseline_kernels = KVPROF_KERNEL_TABLE("baseline");
#endif

}  // namespace kvprof
