#define KVPROF_VECTOR_BYTES 16
#include "cpu/kernels_body.hpp"

namespace kvprof {

const KernelTable baseline_kernels = KVPROF_KERNEL_TABLE("baseline");

}  // namespace kvprof
