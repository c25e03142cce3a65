// cudaLaunchKernelEx: binds a kernel's arguments and hands it to the stream.
#pragma once
#include <functional>
#include <tuple>
#include <utility>

#include "emulated/driver_types.h"

namespace emulated {

/// Enqueues body, which is called once for each thread of the grid. kernel tells which attributes
/// it was given.
cudaError_t launch(const cudaLaunchConfig_t* config, const void* kernel,
                   std::function<void()> body);

}  // namespace emulated

template <typename... ExpTypes, typename... ActTypes>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(ExpTypes...),
                               ActTypes&&... args) {
  std::tuple<ExpTypes...> bound(std::forward<ActTypes>(args)...);
  return emulated::launch(config, reinterpret_cast<const void*>(kernel),
                          [kernel, bound = std::move(bound)] { std::apply(kernel, bound); });
}
