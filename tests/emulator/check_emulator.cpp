// Tests the emulator itself. Prints what it checked, and aborts at the first thing that is wrong.
#include <nvtx3/nvToolsExt.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "check.hpp"

namespace {

void check_device() {
  int count = 0;
  int version = 0;
  CHECK_OK(cudaGetDeviceCount(&count));
  CHECK(count == 1);
  CHECK_OK(cudaDriverGetVersion(&version));
  CHECK(version == 13000);
  cudaDeviceProp properties{};
  CHECK_OK(cudaGetDeviceProperties(&properties, 0));
  CHECK(std::strcmp(properties.name, "CUDA emulator (no GPU)") == 0);
  int bytes = 0;
  CHECK_OK(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, 0));
  CHECK(bytes == 1 << 20);
  CHECK(cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, 1) == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaSuccess);
}

void check_absence() {
  void* memory = nullptr;
  int count = 1;
  setenv("CUDA_VISIBLE_DEVICES", "-1", 1);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(count == 0);
  CHECK(cudaMalloc(&memory, 1) == cudaErrorNoDevice);
  unsetenv("CUDA_VISIBLE_DEVICES");
  setenv("KVPROF_EMULATED_DRIVER_VERSION", "12080", 1);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorInsufficientDriver);
  unsetenv("KVPROF_EMULATED_DRIVER_VERSION");
  CHECK_OK(cudaGetDeviceCount(&count));
  cudaGetLastError();
}

void check_ranges() {
  char path[] = "/tmp/kvprof-nvtx-XXXXXX";
  const int file = mkstemp(path);
  CHECK(file >= 0);
  close(file);
  setenv("KVPROF_EMULATED_NVTX", path, 1);
  const nvtxDomainHandle_t domain = nvtxDomainCreateA("kvprof");
  nvtxEventAttributes_t event{};
  event.version = NVTX_VERSION;
  event.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  event.messageType = NVTX_MESSAGE_TYPE_ASCII;
  event.message.ascii = "step";
  event.payloadType = NVTX_PAYLOAD_TYPE_UNSIGNED_INT64;
  event.payload.ullValue = 7;
  CHECK(nvtxDomainRangePushEx(domain, &event) == 0);
  CHECK(nvtxDomainRangePop(domain) == 0);
  unsetenv("KVPROF_EMULATED_NVTX");
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  CHECK(text.str() == "kvprof push step 7\nkvprof pop\n");
  unlink(path);
}

}  // namespace

int main() {
  check_device();
  check_absence();
  check_ranges();
  std::size_t free_before = 0;
  std::size_t total = 0;
  CHECK_OK(cudaMemGetInfo(&free_before, &total));
  cudaStream_t stream = nullptr;
  CHECK_OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const std::pair<const char*, void (*)(cudaStream_t)> checks[] = {
      {"kernels", check_kernels}, {"streams", check_streams}, {"memory", check_memory},
      {"driver", check_driver},   {"devices", check_devices}, {"faults", check_faults}};
  for (const auto& [name, check] : checks) {
    check(stream);
    std::printf("%s: ok\n", name);
    std::fflush(stdout);
  }
  CHECK_OK(cudaStreamDestroy(stream));
  std::size_t free_after = 0;
  CHECK_OK(cudaMemGetInfo(&free_after, &total));
  CHECK(free_after == free_before);
  CHECK(kvprof_emulated_held_bytes() == 0);
  CHECK(kvprof_emulated_live_allocations() == 0);
  CHECK(kvprof_emulated_live_handles() == 0);
}
