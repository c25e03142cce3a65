// CHECK for the emulator's own tests: ends the process with the line that does not hold.
#pragma once
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>

#define CHECK(condition)                                                           \
  do {                                                                             \
    if (!(condition)) {                                                            \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                \
    }                                                                              \
  } while (false)

#define CHECK_OK(call)                                                   \
  do {                                                                   \
    const int result_ = static_cast<int>(call);                          \
    if (result_ != 0) {                                                  \
      std::fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, \
                   cudaGetErrorName(static_cast<cudaError_t>(result_))); \
      std::abort();                                                      \
    }                                                                    \
  } while (false)

/// Launches a kernel and returns the first error of the launch or of its end.
template <typename... Parameters, typename... Arguments>
cudaError_t launch_and_wait(cudaStream_t stream, dim3 grid, dim3 block, std::size_t shared_bytes,
                            void (*kernel)(Parameters...), Arguments&&... arguments) {
  const cudaLaunchConfig_t config{grid, block, shared_bytes, stream};
  const cudaError_t error =
      cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
  return error ? error : cudaStreamSynchronize(stream);
}

/// Launches one thread of a kernel.
template <typename... Parameters, typename... Arguments>
cudaError_t enqueue(cudaStream_t stream, void (*kernel)(Parameters...), Arguments&&... arguments) {
  const cudaLaunchConfig_t config{1, 1, 0, stream};
  return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

/// Page-locked, and zero.
template <typename T>
class Pinned {
 public:
  explicit Pinned(std::size_t count = 1) {
    CHECK_OK(cudaMallocHost(&data_, count * sizeof(T)));
    for (std::size_t i = 0; i < count; ++i) data_[i] = T{};
  }
  ~Pinned() { CHECK_OK(cudaFreeHost(data_)); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  T* get() const { return data_; }
  T& operator*() const { return *data_; }
  T& operator[](std::size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
};

/// What a kernel and the host share while it runs.
inline unsigned look(const unsigned* at) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
inline void show(unsigned* at, unsigned value) { __atomic_store_n(at, value, __ATOMIC_RELEASE); }

/// Whether the launch of a kernel that adds 1 waits for the one before it.
bool waits_to_load(cudaStream_t stream, void (*kernel)(unsigned*));

void check_kernels(cudaStream_t stream);
void check_faults(cudaStream_t stream);
void check_streams(cudaStream_t stream);
void check_memory(cudaStream_t stream);
void check_driver(cudaStream_t stream);
void check_devices(cudaStream_t stream);
