#include "cuda/swaps.hpp"

#include <memory>

#include "cuda/cuda_check.hpp"
#include "cuda/driver.hpp"
#include "cuda/tiles.hpp"

namespace kvprof::cuda {
namespace {

/// What a batched copy takes, side by side.
struct Pieces {
  std::vector<CUdeviceptr> from;
  std::vector<CUdeviceptr> to;
  std::vector<std::size_t> nbytes;
};

Pieces addresses_of(const Memory& from, const Memory& to, const CopyPlan& plan) {
  const Placement& source = plan.from().placement();
  const Placement& target = plan.to().placement();
  const std::vector<Piece> of_a_layer = pieces_of(plan);
  Pieces pieces;
  for (std::int64_t layer = 0; layer < source.layers; ++layer) {
    const std::byte* read = from.data() + source.base_bytes + layer * source.layer_stride_bytes;
    const std::byte* written = to.data() + target.base_bytes + layer * target.layer_stride_bytes;
    for (const Piece& piece : of_a_layer) {
      pieces.from.push_back(reinterpret_cast<CUdeviceptr>(read + piece.from));
      pieces.to.push_back(reinterpret_cast<CUdeviceptr>(written + piece.to));
      pieces.nbytes.push_back(static_cast<std::size_t>(piece.nbytes));
    }
  }
  return pieces;
}

void copy_one_by_one(const Pieces& pieces, cudaStream_t stream) {
  for (std::size_t i = 0; i < pieces.nbytes.size(); ++i) {
    check(cudaMemcpyAsync(reinterpret_cast<void*>(pieces.to[i]),
                          reinterpret_cast<const void*>(pieces.from[i]), pieces.nbytes[i],
                          cudaMemcpyDefault, stream),
          "a copy");
  }
}

/// The driver takes pointers to what it does not change.
void copy_in_a_batch(Pieces& pieces, cudaStream_t stream) {
  if (pieces.nbytes.empty()) return;
  CUmemcpyAttributes_v1 attributes{};
  attributes.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  std::size_t first_with_attributes = 0;
  std::size_t failed = 0;
  check(Driver::get().copy_batch(pieces.to.data(), pieces.from.data(), pieces.nbytes.data(),
                                 pieces.nbytes.size(), &attributes, &first_with_attributes, 1,
                                 &failed, stream),
        "cuMemcpyBatchAsync");
}

}  // namespace

std::vector<std::string> swap_variants() {
  if (Driver::get().copy_batch == nullptr) return {"kernel", "per_block"};
  return {"batched", "kernel", "per_block"};
}

Work copies_by_the_driver(const Memory& from, const Memory& to, const CopyPlan& plan, bool batched,
                          cudaStream_t stream) {
  auto pieces = std::make_shared<Pieces>(addresses_of(from, to, plan));
  if (batched) return [pieces, stream] { copy_in_a_batch(*pieces, stream); };
  return [pieces, stream] { copy_one_by_one(*pieces, stream); };
}

}  // namespace kvprof::cuda
