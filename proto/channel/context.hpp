// The one ZeroMQ context of a program, without ZeroMQ's header.
#pragma once

#include <memory>

namespace zmq {
class context_t;
}

namespace longhaul::proto {

// Destroyed after every channel made from it; waits for what they still had to send, as long as
// their lingering allows.
class Context {
 public:
  // CURVE encrypts on the I/O threads: more than one serve several busy links.
  explicit Context(int io_threads = 1);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  [[nodiscard]] zmq::context_t& zmq() { return *context_; }

 private:
  std::unique_ptr<zmq::context_t> context_;
};

}  // namespace longhaul::proto
