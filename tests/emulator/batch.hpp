// cuMemcpyBatchAsync, in its two ABIs.
#pragma once
#include <cuda.h>

#include <cstddef>

namespace emulated {

CUresult copy_batch_12080(CUdeviceptr* dsts, CUdeviceptr* srcs, std::size_t* sizes,
                          std::size_t count, CUmemcpyAttributes* attrs, std::size_t* attrIdxs,
                          std::size_t numAttrs, std::size_t* failIdx, CUstream hStream);
CUresult copy_batch_13000(CUdeviceptr* dsts, CUdeviceptr* srcs, std::size_t* sizes,
                          std::size_t count, CUmemcpyAttributes* attrs, std::size_t* attrIdxs,
                          std::size_t numAttrs, CUstream hStream);

}  // namespace emulated
