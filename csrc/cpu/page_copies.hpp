// Two walks over pages side by side, copied from the one to the other.
#pragma once
#include "cpu/kernels.hpp"
#include "cpu/page_spans.hpp"

namespace kvprof {

/// Copies the bytes of `sources` to those of `targets`, which are as many; either may be cut into
/// other spans than the other.
void copy_spans(PageSpans& sources, PageSpans& targets, CopyKernel copy);

}  // namespace kvprof
