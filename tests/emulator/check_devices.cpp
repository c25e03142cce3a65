// Two devices: which is current, and what belongs to which.
#include <cudaTypedefs.h>

#include <thread>

#include "check.hpp"

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

__global__ void nothing() {}

__global__ void add_one(unsigned* value) { *value += 1; }

std::size_t free_bytes(int device) {
  std::size_t free = 0;
  std::size_t total = 0;
  CHECK_OK(cudaSetDevice(device));
  CHECK_OK(cudaMemGetInfo(&free, &total));
  return free;
}

void check_current() {
  int count = 0;
  CHECK_OK(cudaGetDeviceCount(&count));
  CHECK(count == 2);
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
  CHECK_OK(cudaSetDevice(1));
  int device = -1;
  CHECK_OK(cudaGetDevice(&device));
  CHECK(device == 1);
  std::thread([&] { CHECK_OK(cudaGetDevice(&device)); }).join();
  CHECK(device == 0);
  cudaGetLastError();
}

void check_memory_of_each() {
  const std::size_t before[] = {free_bytes(0), free_bytes(1)};
  void* plain = nullptr;
  CHECK_OK(cudaMalloc(&plain, 3 * kMiB));  // device 1 is current
  CHECK(free_bytes(0) == before[0] && free_bytes(1) == before[1] - 4 * kMiB);
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location = {cudaMemLocationTypeDevice, 0};
  cudaMemPool_t pool = nullptr;
  CHECK_OK(cudaMemPoolCreate(&pool, &properties));
  cudaStream_t stream = nullptr;
  CHECK_OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  void* pooled = nullptr;
  CHECK_OK(cudaMallocFromPoolAsync(&pooled, 2 * kMiB, pool, stream));
  CHECK(free_bytes(0) == before[0] - 2 * kMiB && free_bytes(1) == before[1] - 4 * kMiB);
  CHECK(kvprof_emulated_held_bytes() == 6 * kMiB);
  CHECK_OK(cudaFreeAsync(pooled, stream));
  CHECK_OK(cudaStreamDestroy(stream));
  CHECK_OK(cudaMemPoolDestroy(pool));
  CHECK_OK(cudaSetDevice(0));
  CHECK_OK(cudaFree(plain));
  CHECK(free_bytes(0) == before[0] && free_bytes(1) == before[1]);
}

/// own is of device 0.
void check_streams_and_events(cudaStream_t own) {
  CHECK_OK(cudaSetDevice(0));
  cudaEvent_t first = nullptr;
  CHECK_OK(cudaEventCreate(&first));
  CHECK_OK(cudaSetDevice(1));
  cudaStream_t stream = nullptr;
  cudaEvent_t second = nullptr;
  CHECK_OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  CHECK_OK(cudaEventCreate(&second));

  CHECK(cudaEventRecord(first, stream) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(second, own) == cudaErrorInvalidResourceHandle);
  CHECK_OK(cudaEventRecord(first, own));  // whichever device is current
  CHECK_OK(cudaEventRecord(second, stream));
  CHECK_OK(cudaStreamSynchronize(own));
  CHECK_OK(cudaStreamSynchronize(stream));
  float ms = 0;
  CHECK(cudaEventElapsedTime(&ms, first, second) == cudaErrorInvalidResourceHandle);

  CHECK(launch_and_wait(own, 1, 32, 0, nothing) == cudaErrorInvalidResourceHandle);
  CHECK_OK(launch_and_wait(stream, 1, 32, 0, nothing));

  CHECK_OK(cudaSetDevice(0));
  const Pinned<unsigned> value;
  CHECK_OK(launch_and_wait(own, 1, 1, 0, add_one, value.get()));
  CHECK_OK(cudaSetDevice(1));
  CHECK(waits_to_load(stream, add_one));  // it is loaded on device 0
  CHECK_OK(cudaEventDestroy(first));
  CHECK_OK(cudaEventDestroy(second));
  CHECK_OK(cudaStreamDestroy(stream));
  cudaGetLastError();
}

template <typename Function>
Function found(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult status{};
  CHECK_OK(cudaGetDriverEntryPointByVersion(name, &function, 12080, cudaEnableDefault, &status));
  return reinterpret_cast<Function>(function);
}

void check_contexts() {
  std::thread([] {
    int device = 0;
    CHECK_OK(cudaGetDevice(&device));
    const auto reserve = found<PFN_cuMemAddressReserve_v10020>("cuMemAddressReserve");
    const auto free_range = found<PFN_cuMemAddressFree_v10020>("cuMemAddressFree");
    CUdeviceptr range = 0;
    CHECK(reserve(&range, 2 * kMiB, 0, 0, 0) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK(free_range(range, 2 * kMiB) == CUDA_ERROR_INVALID_CONTEXT);
    CHECK_OK(cudaFree(nullptr));
    CHECK_OK(reserve(&range, 2 * kMiB, 0, 0, 0));
    CHECK_OK(free_range(range, 2 * kMiB));
  }).join();
}

void check_virtual_memory_of_each() {
  const auto create = found<PFN_cuMemCreate_v10020>("cuMemCreate");
  const auto release = found<PFN_cuMemRelease_v10020>("cuMemRelease");
  const auto reserve = found<PFN_cuMemAddressReserve_v10020>("cuMemAddressReserve");
  const auto free_range = found<PFN_cuMemAddressFree_v10020>("cuMemAddressFree");
  const auto map = found<PFN_cuMemMap_v10020>("cuMemMap");
  const auto unmap = found<PFN_cuMemUnmap_v10020>("cuMemUnmap");
  const auto set_access = found<PFN_cuMemSetAccess_v10020>("cuMemSetAccess");
  const std::size_t before[] = {free_bytes(0), free_bytes(1)};
  CHECK_OK(cudaSetDevice(0));
  CUmemAllocationProp property{};
  property.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  property.location = {CU_MEM_LOCATION_TYPE_DEVICE, 1};
  CUmemGenericAllocationHandle handle = 0;
  CUdeviceptr range = 0;
  CHECK_OK(create(&handle, 2 * kMiB, &property, 0));
  CHECK(free_bytes(0) == before[0] && free_bytes(1) == before[1] - 2 * kMiB);
  CHECK_OK(reserve(&range, 2 * kMiB, 0, 0, 0));
  CHECK_OK(map(range, 2 * kMiB, 0, handle, 0));
  CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  CHECK(set_access(range, 2 * kMiB, &access, 1) == CUDA_ERROR_INVALID_DEVICE);
  access.location = property.location;
  CHECK_OK(set_access(range, 2 * kMiB, &access, 1));
  CHECK_OK(release(handle));
  CHECK_OK(unmap(range, 2 * kMiB));
  CHECK_OK(free_range(range, 2 * kMiB));
  CHECK(free_bytes(1) == before[1]);
}

}  // namespace

void check_devices(cudaStream_t stream) {
  setenv("KVPROF_EMULATED_DEVICES", "2", 1);
  check_current();
  check_memory_of_each();
  check_streams_and_events(stream);
  check_contexts();
  check_virtual_memory_of_each();
  CHECK_OK(cudaSetDevice(0));
  unsetenv("KVPROF_EMULATED_DEVICES");
}
