#include "batch.hpp"

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
  std::vector<std::byte> staged;  ///< the source's bytes, where the call has to read them
};

struct Batch {
  CUdeviceptr* destinations;
  CUdeviceptr* sources;
  std::size_t* sizes;
  std::size_t count;
  CUmemcpyAttributes* attributes;
  std::size_t* attribute_starts;
  std::size_t attribute_count;
};

bool has_valid_attributes(const Batch& batch) {
  if (batch.attribute_count == 0 || batch.attribute_count > batch.count) return false;
  if (batch.attributes == nullptr || batch.attribute_starts == nullptr) return false;
  for (std::size_t i = 0; i < batch.attribute_count; ++i) {
    const std::size_t start = batch.attribute_starts[i];
    if (i == 0 ? start != 0 : start <= batch.attribute_starts[i - 1]) return false;
    if (start >= batch.count) return false;
    const CUmemcpySrcAccessOrder order = batch.attributes[i].srcAccessOrder;
    if (order < CU_MEMCPY_SRC_ACCESS_ORDER_STREAM) return false;
    if (order > CU_MEMCPY_SRC_ACCESS_ORDER_ANY) return false;
  }
  return true;
}

CUresult copy_batch(const Batch& batch, std::size_t* failed, CUstream stream) {
  *failed = SIZE_MAX;  // no copy is to blame
  if (stream == nullptr || batch.count == 0) return CUDA_ERROR_INVALID_VALUE;
  if (!has_valid_attributes(batch)) return CUDA_ERROR_INVALID_VALUE;
  if (!find_stream(stream)) return CUDA_ERROR_INVALID_HANDLE;
  auto copies = std::make_shared<std::vector<Copy>>();
  std::size_t group = 0;
  for (std::size_t i = 0; i < batch.count; ++i) {
    if (group + 1 < batch.attribute_count && batch.attribute_starts[group + 1] <= i) ++group;
    Copy copy{reinterpret_cast<void*>(batch.destinations[i]),
              reinterpret_cast<const void*>(batch.sources[i]),
              batch.sizes[i],
              {}};
    const Ends ends = ends_of(copy.destination, copy.source, copy.bytes);
    if (copy.bytes == 0 || !fits(ends, cudaMemcpyDefault)) {
      *failed = i;
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (batch.attributes[group].srcAccessOrder == CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL) {
      const auto* first = static_cast<const std::byte*>(copy.source);
      copy.staged.assign(first, first + copy.bytes);
    }
    copies->push_back(std::move(copy));
  }
  const cudaError_t error = submit(stream, [copies] {
    if (device_error() != cudaSuccess) return;
    // Backwards: the copies of a batch have no order among themselves.
    for (auto copy = copies->rbegin(); copy != copies->rend(); ++copy) {
      const void* source = copy->staged.empty() ? copy->source : copy->staged.data();
      std::memcpy(copy->destination, source, copy->bytes);
    }
  });
  return static_cast<CUresult>(error);
}

}  // namespace

CUresult copy_batch_12080(CUdeviceptr* dsts, CUdeviceptr* srcs, std::size_t* sizes,
                          std::size_t count, CUmemcpyAttributes* attrs, std::size_t* attrIdxs,
                          std::size_t numAttrs, std::size_t* failIdx, CUstream hStream) {
  return driver_call("cuMemcpyBatchAsync", [&] {
    std::size_t failed = SIZE_MAX;
    const Batch batch{dsts, srcs, sizes, count, attrs, attrIdxs, numAttrs};
    const CUresult result = copy_batch(batch, &failed, hStream);
    if (failIdx != nullptr && result != CUDA_SUCCESS) *failIdx = failed;
    return result;
  });
}

CUresult copy_batch_13000(CUdeviceptr* dsts, CUdeviceptr* srcs, std::size_t* sizes,
                          std::size_t count, CUmemcpyAttributes* attrs, std::size_t* attrIdxs,
                          std::size_t numAttrs, CUstream hStream) {
  return copy_batch_12080(dsts, srcs, sizes, count, attrs, attrIdxs, numAttrs, nullptr, hStream);
}

}  // namespace emulated
