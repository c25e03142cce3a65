#include "cuda/device_buffers.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "cuda/cuda_check.hpp"

namespace kvprof::cuda {

void Freed::operator()(void* data) const {
  const ContextScope scope(context->primary());
  cudaFree(data);
}

DeviceBytes allocate_bytes(DeviceContext& context, std::int64_t nbytes, const char* what) {
  void* data = nullptr;
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(nbytes, 1));
  check_allocation(cudaMalloc(&data, size), [&] {
    return "cannot allocate " + std::to_string(nbytes) + " bytes for " + what + ": " +
           std::to_string(context.free_bytes()) + " bytes are free";
  });
  return {data, {&context}};
}

Checksums::Checksums(DeviceContext& context)
    : context_(context), words_(allocate_bytes(context, checksum_words * 8, "checksums")) {}

void Checksums::clear() {
  check(cudaMemsetAsync(words_.get(), 0, checksum_words * 8, context_.stream()), "clearing sums");
}

std::uint64_t Checksums::sum() {
  std::array<std::uint64_t, checksum_words> words{};
  copy_now(context_, words.data(), words_.get(), checksum_words * 8);
  return std::accumulate(words.begin(), words.end(), std::uint64_t{0});
}

const std::byte* UploadedRows::upload(const Source& source) {
  if (source.nbytes > capacity_) {
    rows_.reset();
    capacity_ = 0;
    rows_ = allocate_bytes(context_, source.nbytes, "the rows of an append");
    capacity_ = source.nbytes;
  }
  copy_now(context_, rows_.get(), source.data, source.nbytes);
  return static_cast<const std::byte*>(rows_.get());
}

}  // namespace kvprof::cuda
