#include "fiber.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__)
// swapcontext makes two system calls; this keeps what the ABI says a call keeps, and no more. It
// jumps, as the CPU would predict that a return goes to where this stack was called from.
extern "C" void kvprof_emulated_switch(void** save_sp, void* load_sp);
asm(R"(
.text
.hidden kvprof_emulated_switch
.globl kvprof_emulated_switch
.type kvprof_emulated_switch, @function
kvprof_emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
.size kvprof_emulated_switch, . - kvprof_emulated_switch
)");
#endif

namespace emulated {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStackBytes = 512 << 10;
#else
constexpr std::size_t kStackBytes = 128 << 10;
#endif
constexpr std::size_t kGuardBytes = 4096 * 4;

// A new fiber's code starts without an argument.
thread_local Fiber* starting_ = nullptr;

std::byte* new_stack() {
  void* memory = mmap(nullptr, kStackBytes + kGuardBytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  std::byte* stack = static_cast<std::byte*>(memory) + kGuardBytes;
  mprotect(stack, kStackBytes, PROT_READ | PROT_WRITE);
  return stack;
}

}  // namespace

Fiber::Fiber(Entry entry, void* argument)
    : entry_(entry), argument_(argument), stack_(new_stack()) {
#if defined(__SANITIZE_THREAD__)
  own_shadow_ = __tsan_create_fiber(0);
#endif
  prepare();
}

Fiber::~Fiber() {
#if defined(__SANITIZE_THREAD__)
  __tsan_destroy_fiber(own_shadow_);
#endif
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(stack_, kStackBytes);
#endif
  munmap(stack_ - kGuardBytes, kStackBytes + kGuardBytes);
}

#if defined(__x86_64__)
void Fiber::prepare() {
  // Stacks that all began at the same offset in a page would share a few lines of the cache.
  thread_local std::size_t made = 0;
  const std::size_t offset = made++ * 192 % 4096;
  // From the top: no return address for begin, begin as the switch's, six registers.
  auto* top = reinterpret_cast<void**>(stack_ + kStackBytes - offset);
  top[-1] = nullptr;
  top[-2] = reinterpret_cast<void*>(&Fiber::begin);
  own_sp_ = top - 8;
}

void Fiber::switch_in() { kvprof_emulated_switch(&caller_sp_, own_sp_); }

void Fiber::switch_out() { kvprof_emulated_switch(&own_sp_, caller_sp_); }
#else
void Fiber::prepare() {
  getcontext(&own_);
  own_.uc_stack.ss_sp = stack_;
  own_.uc_stack.ss_size = kStackBytes;
  own_.uc_link = nullptr;
  makecontext(&own_, &Fiber::begin, 0);
}

void Fiber::switch_in() { swapcontext(&caller_, &own_); }

void Fiber::switch_out() { swapcontext(&own_, &caller_); }
#endif

void Fiber::begin() {
  Fiber* self = starting_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self->caller_stack_, &self->caller_stack_bytes_);
#endif
  self->entry_(self->argument_);
  __builtin_trap();
}

void Fiber::resume() {
  starting_ = this;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&caller_shadow_, stack_, kStackBytes);
#endif
#if defined(__SANITIZE_THREAD__)
  caller_shadow_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(own_shadow_, 0);
#endif
  switch_in();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(caller_shadow_, nullptr, nullptr);
#endif
}

void Fiber::suspend() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&own_shadow_, caller_stack_, caller_stack_bytes_);
#endif
#if defined(__SANITIZE_THREAD__)
  __tsan_switch_to_fiber(caller_shadow_, 0);
#endif
  switch_out();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(own_shadow_, &caller_stack_, &caller_stack_bytes_);
#endif
}

}  // namespace emulated
