// The context of a device that the runtime, and everybody else in the process, uses.
#pragma once
#include <cuda.h>

namespace kvprof::cuda {

/// Held while it lives: the device's memory for it is taken by the first who asks.
class PrimaryContext {
 public:
  /// Throws AllocationError when the device has no room for it, DeviceFault when it cannot be used.
  explicit PrimaryContext(int index);
  ~PrimaryContext();
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;

  CUcontext get() const noexcept { return context_; }

 private:
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
};

/// Makes a context current in this thread while it lives. What was current before, or that nothing
/// was, is as it was afterwards: setting the device back would make a context on a device that
/// nobody uses. Never throws, since it guards what is given back too: without a context the calls
/// that follow say what is wrong.
class ContextScope {
 public:
  explicit ContextScope(const PrimaryContext& context) noexcept;
  ~ContextScope();
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;

 private:
  bool pushed_;
};

}  // namespace kvprof::cuda
