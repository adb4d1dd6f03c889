// A Boost.Context fiber that the address sanitizer knows of.
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/preallocated.hpp>
#include <boost/context/stack_context.hpp>

#include <cstddef>
#include <memory>
#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace longhaul::compression::cuda::emulation {

// Memory of a fiber's stack, kept for the next fiber.
class Stack {
 public:
  static constexpr std::size_t kBytes = std::size_t{128} << 10;

  Stack() : bytes_(new std::byte[kBytes]) {}

  [[nodiscard]] std::byte* bottom() const { return bytes_.get(); }
  [[nodiscard]] boost::context::preallocated preallocated() const {
    boost::context::stack_context context;
    context.size = kBytes;
    context.sp = bytes_.get() + kBytes;
    return {context.sp, context.size, context};
  }

 private:
  std::unique_ptr<std::byte[]> bytes_;
};

// Starts suspended; its function must return before the fiber is destroyed, and throw nothing.
class Fiber {
 public:
  template <class Function>
  void start(const Stack& stack, Function function) {
    bottom_ = stack.bottom();
    inside_ = boost::context::fiber(std::allocator_arg, stack.preallocated(), Kept{},
                                    [this, function](boost::context::fiber&& caller) mutable {
                                      finish_switch(nullptr, &caller_bottom_, &caller_bytes_);
                                      caller_ = std::move(caller);
                                      function();
                                      start_switch(nullptr, caller_bottom_, caller_bytes_);
                                      return std::move(caller_);
                                    });
  }

  // From outside: runs until the fiber suspends itself or ends.
  void resume() {
    void* fake = nullptr;
    start_switch(&fake, bottom_, Stack::kBytes);
    inside_ = std::move(inside_).resume();
    finish_switch(fake, nullptr, nullptr);
  }

  // From inside: back to who resumed it.
  void suspend() {
    void* fake = nullptr;
    start_switch(&fake, caller_bottom_, caller_bytes_);
    caller_ = std::move(caller_).resume();
    finish_switch(fake, &caller_bottom_, &caller_bytes_);
  }

 private:
  struct Kept {  // stacks are not freed with their fibers
    boost::context::stack_context allocate() { return {}; }
    void deallocate(boost::context::stack_context&) {}
  };

#if defined(__SANITIZE_ADDRESS__)
  static void start_switch(void** fake, const void* bottom, std::size_t bytes) {
    __sanitizer_start_switch_fiber(fake, bottom, bytes);
  }
  static void finish_switch(void* fake, const void** bottom, std::size_t* bytes) {
    __sanitizer_finish_switch_fiber(fake, bottom, bytes);
  }
#else
  static void start_switch(void**, const void*, std::size_t) {}
  static void finish_switch(void*, const void**, std::size_t*) {}
#endif

  boost::context::fiber inside_;
  boost::context::fiber caller_;
  const std::byte* bottom_ = nullptr;
  const void* caller_bottom_ = nullptr;
  std::size_t caller_bytes_ = 0;
};

}  // namespace longhaul::compression::cuda::emulation
