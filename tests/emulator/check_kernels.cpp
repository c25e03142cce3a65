// Kernels that do what they should: grids, blocks, warps, bulk copies.
#include <chrono>
#include <cstdint>
#include <vector>

#include "check.hpp"

namespace {

struct Scale {
  std::uint32_t factor;
  std::uint32_t offset;
};

__global__ void __launch_bounds__(256) scale(uint4* values, std::size_t count, const Scale by) {
  const std::size_t first = std::size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (std::size_t i = first; i < count; i += std::size_t{gridDim.x} * blockDim.x) {
    const uint4 v = __ldcs(&values[i]);
    __stcs(&values[i],
           make_uint4(v.x * by.factor + by.offset, v.y * by.factor, v.z * by.factor, v.w));
  }
}

__global__ void sum_blocks(const unsigned* values, unsigned long long* total) {
  auto* partial = reinterpret_cast<unsigned*>(emulated::shared_memory());
  const unsigned t = threadIdx.x;
  partial[t] = values[blockIdx.x * blockDim.x + t];
  for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) partial[t] += partial[t + half];
  }
  if (t == 0) atomicAdd(total, partial[0]);
}

__global__ void sum_warps(const unsigned long long* values, unsigned long long* total,
                          unsigned* wrong) {
  __shared__ unsigned long long partial[8];
  const unsigned lane = threadIdx.x % 32;
  unsigned long long sum = values[threadIdx.x];
  for (int delta = 16; delta > 0; delta /= 2) sum += __shfl_down_sync(0xffffffffu, sum, delta);
  if (lane == 0) partial[threadIdx.x / 32] = sum;
  const unsigned flipped = __shfl_xor_sync(0xffffffffu, lane, 5);
  const float fifth = __shfl_sync(0xffffffffu, static_cast<float>(lane), 5);
  const unsigned odd = __ballot_sync(0xffffffffu, lane & 1);
  const bool right = flipped == (lane ^ 5) && fifth == 5.0f && odd == 0xaaaaaaaau &&
                     __any_sync(0xffffffffu, lane == 9) && !__any_sync(0xffffffffu, lane == 32);
  if (!right) atomicAdd(wrong, 1u);
  // Half warps meet on their own, in another order than they arrive at.
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  if (__shfl_sync(half, lane, 0, 16) != (lane < 16 ? 0u : 16u)) atomicAdd(wrong, 1u);
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (const unsigned long long part : partial) *total += part;
}

__global__ void place(unsigned* seen) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const uint3 before = threadIdx;
  __syncthreads();
  const bool same = before.x == threadIdx.x && before.y == threadIdx.y && before.z == threadIdx.z;
  seen[block * blockDim.x * blockDim.y * blockDim.z + thread] += same ? 1u : 100u;
}

constexpr unsigned kStages = 2;
constexpr unsigned kStageBytes = 1024;

/// One thread brings stages in, all add them up. stale counts stages whose bytes were there before
/// they were waited for.
__global__ void ring(const std::byte* source, unsigned rounds, unsigned long long* total,
                     unsigned* stale) {
  std::byte* shared = emulated::shared_memory();
  auto* full = reinterpret_cast<std::uint64_t*>(shared + kStages * kStageBytes);
  const auto fill = [&](unsigned round) {
    const unsigned stage = round % kStages;
    emulated::mbarrier_arrive_expect_tx(&full[stage], kStageBytes);
    emulated::bulk_copy_to_shared(shared + stage * kStageBytes,
                                  source + std::size_t{round} * kStageBytes, kStageBytes,
                                  &full[stage]);
  };
  if (threadIdx.x == 0) {
    for (unsigned stage = 0; stage < kStages; ++stage) emulated::mbarrier_init(&full[stage], 1);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    for (unsigned round = 0; round < kStages; ++round) fill(round);
  }
  unsigned long long sum = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    const unsigned stage = round % kStages;
    const auto* words = reinterpret_cast<const unsigned*>(shared + stage * kStageBytes);
    if (threadIdx.x == 0 && words[0] == round + 1) atomicAdd(stale, 1u);
    while (!emulated::mbarrier_test_parity(&full[stage], round / kStages & 1u)) {
    }
    for (unsigned i = threadIdx.x; i < kStageBytes / 4; i += blockDim.x) sum += words[i];
    __syncthreads();
    if (threadIdx.x == 0 && round + kStages < rounds) fill(round + kStages);
  }
  atomicAdd(total, sum);
}

template <typename T>
T* managed(std::size_t count) {
  T* memory = nullptr;
  CHECK_OK(cudaMallocHost(&memory, count * sizeof(T)));
  std::fill_n(memory, count, T{});
  return memory;
}

void check_grid_stride(cudaStream_t stream) {
  constexpr std::size_t kCount = (std::size_t{1} << 20) / sizeof(uint4);
  std::vector<uint4> host(kCount);
  for (unsigned i = 0; i < kCount; ++i) host[i] = make_uint4(i, i + 1, i + 2, i + 3);
  uint4* device = nullptr;
  CHECK_OK(cudaMalloc(&device, kCount * sizeof(uint4)));
  CHECK_OK(
      cudaMemcpyAsync(device, host.data(), kCount * sizeof(uint4), cudaMemcpyHostToDevice, stream));
  CHECK_OK(launch_and_wait(stream, 64, 256, 0, scale, device, kCount, Scale{3, 1}));
  const auto start = std::chrono::steady_clock::now();
  CHECK_OK(launch_and_wait(stream, kCount / 256, 256, 0, scale, device, kCount, Scale{1, 0}));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  std::printf("1 MiB with blocks of 256 threads: %.2f ms\n", took.count());
  CHECK_OK(cudaMemcpy(host.data(), device, kCount * sizeof(uint4), cudaMemcpyDeviceToHost));
  for (unsigned i = 0; i < kCount; ++i) {
    CHECK(host[i].x == 3 * i + 1 && host[i].y == 3 * (i + 1) && host[i].w == i + 3);
  }
  CHECK_OK(cudaFree(device));
}

void check_blocks(cudaStream_t stream) {
  constexpr unsigned kCount = 1 << 16;
  auto* values = managed<unsigned>(kCount);
  auto* total = managed<unsigned long long>(1);
  unsigned long long expected = 0;
  for (unsigned i = 0; i < kCount; ++i) expected += values[i] = i * 7 % 1000;
  const auto start = std::chrono::steady_clock::now();
  CHECK_OK(launch_and_wait(stream, kCount / 256, 256, 1024, sum_blocks, values, total));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  std::printf("256 blocks of 256 threads that meet 8 times: %.2f ms\n", took.count());
  CHECK(*total == expected);
  auto* seen = managed<unsigned>(2 * 3 * 2 * 4 * 5 * 3);
  CHECK_OK(launch_and_wait(stream, dim3(2, 3, 2), dim3(4, 5, 3), 0, place, seen));
  for (unsigned i = 0; i < 2 * 3 * 2 * 4 * 5 * 3; ++i) CHECK(seen[i] == 1);
  CHECK_OK(cudaFreeHost(seen));
  CHECK_OK(cudaFreeHost(values));
  CHECK_OK(cudaFreeHost(total));
}

void check_warps(cudaStream_t stream) {
  auto* values = managed<unsigned long long>(256);
  auto* total = managed<unsigned long long>(1);
  auto* wrong = managed<unsigned>(1);
  unsigned long long expected = 0;
  for (unsigned i = 0; i < 256; ++i) expected += values[i] = (1ull << 40) + i;
  CHECK_OK(launch_and_wait(stream, 1, 256, 0, sum_warps, values, total, wrong));
  CHECK(*total == expected && *wrong == 0);
  CHECK_OK(cudaFreeHost(values));
  CHECK_OK(cudaFreeHost(total));
  CHECK_OK(cudaFreeHost(wrong));
}

void check_ring(cudaStream_t stream) {
  constexpr unsigned kRounds = 9;
  auto* source = managed<unsigned>(kRounds * kStageBytes / 4);
  auto* total = managed<unsigned long long>(1);
  auto* stale = managed<unsigned>(1);
  unsigned long long expected = 0;
  for (unsigned i = 0; i < kRounds * kStageBytes / 4; ++i) {
    expected += source[i] = i / (kStageBytes / 4) + 1;
  }
  CHECK_OK(launch_and_wait(stream, 3, 128, kStages * kStageBytes + 16, ring,
                           reinterpret_cast<const std::byte*>(source), kRounds, total, stale));
  CHECK(*total == 3 * expected && *stale == 0);
  CHECK_OK(cudaFreeHost(source));
  CHECK_OK(cudaFreeHost(total));
  CHECK_OK(cudaFreeHost(stale));
}

}  // namespace

void check_kernels(cudaStream_t stream) {
  check_grid_stride(stream);
  check_blocks(stream);
  check_warps(stream);
  check_ring(stream);
}
