// A stack of its own for code that can be left and entered again on one thread.
#pragma once
#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace emulated {

class Fiber {
 public:
  using Entry = void (*)(void*);

  /// entry(argument) starts at the first resume and must not return.
  Fiber(Entry entry, void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Runs the fiber until it suspends itself. Always from the same thread.
  void resume();
  void suspend();

 private:
  static void begin();
  void prepare();
  void switch_in();
  void switch_out();

  Entry entry_;
  void* argument_;
  std::byte* stack_;
#if defined(__x86_64__)
  void* own_sp_ = nullptr;
  void* caller_sp_ = nullptr;
#else
  ucontext_t own_{};
  ucontext_t caller_{};
#endif
  // Where the sanitizers keep what they know of a stack.
  const void* caller_stack_ = nullptr;
  std::size_t caller_stack_bytes_ = 0;
  void* own_shadow_ = nullptr;
  void* caller_shadow_ = nullptr;
};

}  // namespace emulated
