// The driver's functions: virtual memory and batches of copies.
#include <cudaTypedefs.h>

#include <cstdint>
#include <cstring>
#include <vector>

#include "check.hpp"

namespace {

constexpr std::size_t kPage = std::size_t{2} << 20;

template <typename Function>
Function found(const char* name, unsigned version) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult status{};
  CHECK_OK(cudaGetDriverEntryPointByVersion(name, &function, version, cudaEnableDefault, &status));
  CHECK(status == cudaDriverEntryPointSuccess && function != nullptr);
  return reinterpret_cast<Function>(function);
}

void check_lookup() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult status{};
  CHECK_OK(cudaGetDriverEntryPointByVersion("cuMemcpyBatchAsync", &function, 12000, 0, &status));
  CHECK(status == cudaDriverEntryPointVersionNotSufficent && function == nullptr);
  CHECK_OK(cudaGetDriverEntryPointByVersion("cuNoSuchThing", &function, 12000, 0, &status));
  CHECK(status == cudaDriverEntryPointSymbolNotFound);
  const char* text = nullptr;
  CHECK_OK(
      found<PFN_cuGetErrorName_v6000>("cuGetErrorName", 12000)(CUDA_ERROR_OUT_OF_MEMORY, &text));
  CHECK(std::strcmp(text, "CUDA_ERROR_OUT_OF_MEMORY") == 0);
}

void check_virtual_memory(cudaStream_t stream) {
  const auto reserve = found<PFN_cuMemAddressReserve_v10020>("cuMemAddressReserve", 12000);
  const auto free_range = found<PFN_cuMemAddressFree_v10020>("cuMemAddressFree", 12000);
  const auto create = found<PFN_cuMemCreate_v10020>("cuMemCreate", 12000);
  const auto release = found<PFN_cuMemRelease_v10020>("cuMemRelease", 12000);
  const auto map = found<PFN_cuMemMap_v10020>("cuMemMap", 12000);
  const auto unmap = found<PFN_cuMemUnmap_v10020>("cuMemUnmap", 12000);
  const auto set_access = found<PFN_cuMemSetAccess_v10020>("cuMemSetAccess", 12000);
  const auto granularity =
      found<PFN_cuMemGetAllocationGranularity_v10020>("cuMemGetAllocationGranularity", 12000);
  CUmemAllocationProp property{};
  property.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  property.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  std::size_t unit = 0;
  CHECK_OK(granularity(&unit, &property, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  CHECK(unit == kPage);

  CUdeviceptr range = 0;
  CHECK(reserve(&range, kPage + 1, 0, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK_OK(reserve(&range, 4 * kPage, 0, 0, 0));
  CUmemGenericAllocationHandle handles[2] = {};
  CHECK(create(&handles[0], kPage - 512, &property, 0) == CUDA_ERROR_INVALID_VALUE);
  setenv("KVPROF_EMULATED_FAIL_AT", "cuMemCreate:3", 1);
  const std::size_t held = kvprof_emulated_held_bytes();
  for (auto& handle : handles) CHECK_OK(create(&handle, kPage, &property, 0));
  CUmemGenericAllocationHandle third = 0;
  CHECK(create(&third, kPage, &property, 0) == CUDA_ERROR_OUT_OF_MEMORY);
  unsetenv("KVPROF_EMULATED_FAIL_AT");
  CHECK(kvprof_emulated_held_bytes() == held + 2 * kPage);
  CHECK_OK(map(range, kPage, 0, handles[0], 0));
  CHECK(map(range, kPage, 0, handles[1], 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK_OK(map(range + kPage, kPage, 0, handles[1], 0));
  auto* memory = reinterpret_cast<std::byte*>(range);
  CHECK(cudaMemsetAsync(memory, 1, kPage, stream) == cudaErrorInvalidValue);  // no access yet
  kvprof_emulated_clear_error();
  const CUmemAccessDesc access{property.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  CHECK_OK(set_access(range, 2 * kPage, &access, 1));
  CHECK(set_access(range, 3 * kPage, &access, 1) == CUDA_ERROR_INVALID_VALUE);
  CHECK_OK(cudaMemsetAsync(memory, 1, 2 * kPage, stream));
  CHECK_OK(cudaStreamSynchronize(stream));
  CHECK(memory[2 * kPage - 1] == std::byte{1});
  CHECK(free_range(range, 4 * kPage) == CUDA_ERROR_INVALID_VALUE);
  for (const auto handle : handles) CHECK_OK(release(handle));
  CHECK(kvprof_emulated_held_bytes() == held + 2 * kPage);  // the maps still hold them
  CHECK_OK(unmap(range, kPage));
  CHECK(unmap(range, kPage) == CUDA_ERROR_INVALID_VALUE);
  CHECK_OK(unmap(range + kPage, kPage));
  CHECK(kvprof_emulated_held_bytes() == held);
  CHECK_OK(free_range(range, 4 * kPage));
  cudaGetLastError();
}

void check_batch(cudaStream_t stream) {
  const auto copy = found<PFN_cuMemcpyBatchAsync_v12080>("cuMemcpyBatchAsync", 12080);
  CUdeviceptr device = 0;
  CHECK_OK(cudaMalloc(reinterpret_cast<void**>(&device), 4096));
  const Pinned<unsigned char> host(4096);
  for (unsigned i = 0; i < 4096; ++i) host[i] = static_cast<unsigned char>(i % 251);
  std::vector<CUdeviceptr> to;
  std::vector<CUdeviceptr> from;
  std::vector<std::size_t> sizes(8, 512);
  for (unsigned i = 0; i < 8; ++i) {
    to.push_back(device + 512 * (7 - i));
    from.push_back(reinterpret_cast<CUdeviceptr>(host.get()) + 512 * i);
  }
  CUmemcpyAttributes attributes{};
  attributes.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  std::size_t start = 0;
  std::size_t failed = 0;
  const auto run = [&](CUstream in) {
    return copy(to.data(), from.data(), sizes.data(), 8, &attributes, &start, 1, &failed, in);
  };
  CHECK(run(nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(failed == SIZE_MAX);
  CHECK_OK(run(stream));
  std::vector<unsigned char> back(4096);
  CHECK_OK(cudaMemcpyAsync(back.data(), reinterpret_cast<void*>(device), 4096, cudaMemcpyDefault,
                           stream));
  for (unsigned i = 0; i < 4096; ++i) CHECK(back[i] == host[(7 - i / 512) * 512 + i % 512]);
  sizes[5] = 4096;
  CHECK(run(stream) == CUDA_ERROR_INVALID_VALUE);
  CHECK(failed == 5);
  CHECK_OK(cudaFree(reinterpret_cast<void*>(device)));
}

}  // namespace

void check_driver(cudaStream_t stream) {
  check_lookup();
  check_virtual_memory(stream);
  check_batch(stream);
}
