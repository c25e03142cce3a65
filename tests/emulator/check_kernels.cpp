// Kernels that do what they should: grids, warps, bulk copies.
#include <cstdint>
#include <vector>

#include "check.hpp"

namespace {

struct Scale {
  std::uint32_t factor;
  std::uint32_t offset;
};

__global__ void __launch_bounds__(256) scale(uint4* values, const Scale by) {
  uint4& v = values[blockIdx.x * blockDim.x + threadIdx.x];
  v = make_uint4(v.x * by.factor + by.offset, v.y * by.factor, v.z, v.w);
}

__global__ void sum_warps(const unsigned long long* values, unsigned long long* total,
                          unsigned long long* wrong) {
  const unsigned lane = threadIdx.x % 32;
  unsigned long long sum = values[threadIdx.x];
  for (int bit = 16; bit > 0; bit /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, bit);
  if (lane == 0) atomicAdd(total, sum);
  const float fifth = __shfl_sync(0xffffffffu, static_cast<float>(lane), 5);
  if (fifth != 5.0f) atomicAdd(wrong, 1);
  // Half warps meet on their own, in another order than they arrive at.
  const unsigned half = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  const unsigned first = lane < 16 ? 0 : 16;
  if (__shfl_sync(half, lane, static_cast<int>(first)) != first) atomicAdd(wrong, 1);
  __syncwarp();
}

constexpr unsigned kStages = 2;
constexpr unsigned kStageBytes = 1024;

/// Of each warp one lane brings stages in, all add them up. stale counts stages whose bytes were
/// there at once.
__global__ void ring(const std::byte* source, unsigned rounds, unsigned long long* total,
                     unsigned long long* stale) {
  const unsigned lane = threadIdx.x % 32;
  const std::size_t own = threadIdx.x / 32 * (kStages * kStageBytes + 16);
  std::byte* shared = emulated::shared_memory() + own;
  auto* full = reinterpret_cast<std::uint64_t*>(shared + kStages * kStageBytes);
  const auto fill = [&](unsigned round) {
    const unsigned stage = round % kStages;
    emulated::mbarrier_arrive_expect_tx(&full[stage], kStageBytes);
    emulated::bulk_copy_to_shared(shared + stage * kStageBytes,
                                  source + std::size_t{round} * kStageBytes, kStageBytes,
                                  &full[stage]);
    const auto* words = reinterpret_cast<const unsigned*>(shared + stage * kStageBytes);
    if (words[0] == round + 1) atomicAdd(stale, 1);
  };
  for (unsigned stage = 0; lane == 0 && stage < kStages; ++stage) {
    emulated::mbarrier_init(&full[stage], 1);
    fill(stage);
  }
  __syncwarp();
  unsigned long long sum = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    const unsigned stage = round % kStages;
    const auto* words = reinterpret_cast<const unsigned*>(shared + stage * kStageBytes);
    while (!emulated::mbarrier_test_parity(&full[stage], round / kStages & 1u)) {
    }
    for (unsigned i = lane; i < kStageBytes / 4; i += 32) sum += words[i];
    __syncwarp();
    if (lane == 0 && round + kStages < rounds) fill(round + kStages);
  }
  atomicAdd(total, sum);
}

void check_grid(cudaStream_t stream) {
  constexpr std::size_t kCount = 4096;
  std::vector<uint4> host(kCount);
  for (unsigned i = 0; i < kCount; ++i) host[i] = make_uint4(i, i + 1, i + 2, i + 3);
  const std::size_t bytes = kCount * sizeof(uint4);
  uint4* device = nullptr;
  CHECK_OK(cudaMalloc(&device, bytes));
  CHECK_OK(cudaMemcpyAsync(device, host.data(), bytes, cudaMemcpyDefault, stream));
  CHECK_OK(launch_and_wait(stream, kCount / 256, 256, 0, scale, device, Scale{3, 1}));
  CHECK_OK(cudaMemcpyAsync(host.data(), device, bytes, cudaMemcpyDefault, stream));
  for (unsigned i = 0; i < kCount; ++i) {
    CHECK(host[i].x == 3 * i + 1 && host[i].y == 3 * (i + 1) && host[i].w == i + 3);
  }
  CHECK_OK(cudaFree(device));
}

void check_warps(cudaStream_t stream) {
  const Pinned<unsigned long long> values(256);
  const Pinned<unsigned long long> total;
  const Pinned<unsigned long long> wrong;
  unsigned long long expected = 0;
  for (unsigned i = 0; i < 256; ++i) expected += values[i] = (1ull << 40) + i;
  CHECK_OK(launch_and_wait(stream, 1, 256, 0, sum_warps, values.get(), total.get(), wrong.get()));
  CHECK(*total == expected && *wrong == 0);
}

void check_ring(cudaStream_t stream) {
  constexpr unsigned kRounds = 9;
  const Pinned<unsigned> source(kRounds * kStageBytes / 4);
  const Pinned<unsigned long long> total;
  const Pinned<unsigned long long> stale;
  unsigned long long expected = 0;
  for (unsigned i = 0; i < kRounds * kStageBytes / 4; ++i) {
    expected += source[i] = i / (kStageBytes / 4) + 1;
  }
  CHECK_OK(launch_and_wait(stream, 3, 128, 4 * (kStages * kStageBytes + 16), ring,
                           reinterpret_cast<const std::byte*>(source.get()), kRounds, total.get(),
                           stale.get()));
  CHECK(*total == 3 * 4 * expected && *stale == 0);
}

}  // namespace

void check_kernels(cudaStream_t stream) {
  check_grid(stream);
  check_warps(stream);
  check_ring(stream);
}
