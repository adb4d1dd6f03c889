// Decides whose CURVE key may connect: ZeroMQ's authentication protocol (ZAP, RFC 27), one handler
// per context, any number of sockets.
#pragma once

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>

#include <zmq.hpp>

namespace longhaul::proto {

// As long as it lives, sockets of this context whose ZMQ_ZAP_DOMAIN is name() let in those whose
// key `allow` accepts. `allow` runs on the loop, never after the destructor; while the loop is busy
// a handshake waits, and no byte of the peer's messages is parsed before the answer. Create and
// destroy on the loop's thread, or while the loop does not run.
class ZapDomain {
 public:
  ZapDomain(zmq::context_t& context, boost::asio::io_context& loop,
            std::function<bool(const std::string& public_key)> allow);
  ~ZapDomain();
  ZapDomain(const ZapDomain&) = delete;
  ZapDomain& operator=(const ZapDomain&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }

  struct Asked;

 private:
  void* context_;
  std::string name_;
  std::shared_ptr<Asked> asked_;
};

// The key that the handshake proved, as a message's metadata carries it; empty without ZAP.
[[nodiscard]] std::string verified_key(const zmq::message_t& message);

}  // namespace longhaul::proto
