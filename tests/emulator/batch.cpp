// A batch of copies, which have no order among themselves.
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "copies.hpp"
#include "state.hpp"
#include "streams.hpp"

namespace emulated {
namespace {

struct Copy {
  void* destination;
  const void* source;
  std::size_t bytes;

  bool is_valid() const {
    return bytes > 0 && fits(ends_of(destination, source, bytes), cudaMemcpyDefault);
  }
};

bool in_order_of_the_stream(const CUmemcpyAttributes* attributes, const std::size_t* starts,
                            std::size_t count) {
  return count == 1 && attributes != nullptr && starts != nullptr && starts[0] == 0 &&
         attributes->srcAccessOrder == CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
}

}  // namespace

CUresult copy_batch(CUdeviceptr* dsts, CUdeviceptr* srcs, std::size_t* sizes, std::size_t count,
                    CUmemcpyAttributes* attrs, std::size_t* attrIdxs, std::size_t numAttrs,
                    std::size_t* failIdx, CUstream hStream) {
  return driver_call("cuMemcpyBatchAsync", [&] {
    *failIdx = SIZE_MAX;  // no copy is to blame
    if (hStream == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    if (!in_order_of_the_stream(attrs, attrIdxs, numAttrs)) return CUDA_ERROR_INVALID_VALUE;
    auto copies = std::make_shared<std::vector<Copy>>();
    for (std::size_t i = 0; i < count; ++i) {
      copies->push_back(
          {reinterpret_cast<void*>(dsts[i]), reinterpret_cast<const void*>(srcs[i]), sizes[i]});
      if (!copies->back().is_valid()) return *failIdx = i, CUDA_ERROR_INVALID_VALUE;
    }
    // Backwards, as nobody may rely on an order.
    const cudaError_t error = submit(hStream, [copies] {
      if (device_error() != cudaSuccess) return;
      for (auto copy = copies->rbegin(); copy != copies->rend(); ++copy) {
        std::memcpy(copy->destination, copy->source, copy->bytes);
      }
    });
    return static_cast<CUresult>(error);
  });
}

}  // namespace emulated
