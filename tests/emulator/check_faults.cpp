// Kernels and calls that must fail, and what is left after that.
#include <cstdint>
#include <string>

#include "check.hpp"

namespace {

/// So that an aborted kernel must not forget what its threads hold.
struct Holder {
  std::string text = std::string(100, 'x');
};

__global__ void disagrees_on_the_mask() {
  const Holder holder;
  if (threadIdx.x < 32) __syncwarp();
  __syncwarp(threadIdx.x % 2 == 0 ? 0xffffffffu : 0xfffffffeu);
}

__global__ void waits_for_nobody() {
  auto* bar = reinterpret_cast<std::uint64_t*>(emulated::shared_memory());
  const Holder holder;
  if (threadIdx.x == 0) {
    emulated::mbarrier_init(bar, 2);
    emulated::mbarrier_arrive_expect_tx(bar, 0);
  }
  __syncwarp();
  while (!emulated::mbarrier_test_parity(bar, 0)) {
  }
}

__global__ void copies(const std::byte* source, unsigned bytes, unsigned source_offset,
                       bool waits) {
  std::byte* shared = emulated::shared_memory();
  auto* bar = reinterpret_cast<std::uint64_t*>(shared);
  emulated::mbarrier_init(bar, 1);
  emulated::mbarrier_arrive_expect_tx(bar, bytes);
  emulated::bulk_copy_to_shared(shared + 16, source + source_offset, bytes, bar);
  while (waits && !emulated::mbarrier_test_parity(bar, 0)) {
  }
}

__global__ void touches_uninitialized_barrier() {
  emulated::mbarrier_arrive_expect_tx(reinterpret_cast<std::uint64_t*>(emulated::shared_memory()),
                                      0);
}

__global__ void nothing() {}

/// The error must stay until it is cleared, and skip what comes after it.
void expect_fault(cudaError_t error, cudaError_t wanted) {
  CHECK(error == wanted);
  void* memory = nullptr;
  CHECK(cudaMalloc(&memory, 256) == wanted);
  CHECK(cudaDeviceSynchronize() == wanted);
  CHECK(cudaGetLastError() == wanted);
  CHECK(cudaGetLastError() == wanted);
  kvprof_emulated_clear_error();
  CHECK_OK(cudaGetLastError());
}

void check_deadlocks(cudaStream_t stream) {
  expect_fault(launch_and_wait(stream, 2, 64, 0, disagrees_on_the_mask), cudaErrorLaunchFailure);
  expect_fault(launch_and_wait(stream, 2, 32, 8, waits_for_nobody), cudaErrorLaunchFailure);
  CHECK_OK(launch_and_wait(stream, 2, 64, 0, nothing));
}

void check_bulk_copies(cudaStream_t stream) {
  std::byte* source = nullptr;
  CHECK_OK(cudaMalloc(&source, 256));
  const auto run = [&](unsigned bytes, unsigned offset, bool waits) {
    return launch_and_wait(stream, 1, 1, 144, copies, source, bytes, offset, waits);
  };
  CHECK_OK(run(128, 0, true));
  expect_fault(run(128, 4, true), cudaErrorMisalignedAddress);
  expect_fault(run(24, 0, true), cudaErrorMisalignedAddress);
  expect_fault(run(128, 144, true), cudaErrorIllegalAddress);
  expect_fault(run(144, 0, true), cudaErrorIllegalAddress);
  expect_fault(run(128, 0, false), cudaErrorLaunchFailure);
  expect_fault(launch_and_wait(stream, 1, 1, 16, touches_uninitialized_barrier),
               cudaErrorLaunchFailure);
  CHECK_OK(cudaFree(source));
}

void check_configurations(cudaStream_t stream) {
  CHECK(launch_and_wait(stream, 1, 1025, 0, nothing) == cudaErrorInvalidConfiguration);
  CHECK(launch_and_wait(stream, 0, 32, 0, nothing) == cudaErrorInvalidConfiguration);
  CHECK(launch_and_wait(stream, dim3(1, 2), 32, 0, nothing) == cudaErrorNotSupported);
  CHECK(launch_and_wait(stream, 1, 32, 50000, nothing) == cudaErrorInvalidValue);
  CHECK_OK(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 50000));
  CHECK_OK(launch_and_wait(stream, 1, 32, 50000, nothing));
  int blocks = 0;
  CHECK_OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nothing, 256, 0));
  CHECK(blocks == 2);
}

void check_injection(cudaStream_t stream) {
  setenv("KVPROF_EMULATED_FAIL_AT", "cudaMalloc:2,cudaMallocHost:1,cudaLaunchKernel:1", 1);
  void* first = nullptr;
  void* second = nullptr;
  CHECK_OK(cudaMalloc(&first, 256));
  CHECK(cudaMalloc(&second, 256) == cudaErrorMemoryAllocation);
  CHECK_OK(cudaMalloc(&second, 256));
  CHECK_OK(cudaFree(first));
  CHECK_OK(cudaFree(second));
  CHECK(cudaMallocHost(&first, 256) == cudaErrorMemoryAllocation);
  CHECK(launch_and_wait(stream, 1, 32, 0, nothing) == cudaErrorMemoryAllocation);
  CHECK_OK(launch_and_wait(stream, 1, 32, 0, nothing));
  unsetenv("KVPROF_EMULATED_FAIL_AT");
  cudaGetLastError();
}

}  // namespace

void check_faults(cudaStream_t stream) {
  check_deadlocks(stream);
  check_bulk_copies(stream);
  check_configurations(stream);
  check_injection(stream);
}
