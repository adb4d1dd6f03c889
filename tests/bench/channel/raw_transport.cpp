// The baseline: libzmq with CURVE and nothing else.
#include "tests/bench/channel/transport.hpp"

#include "proto/channel/curve_key.hpp"

#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <zmq.hpp>

namespace longhaul::bench {
namespace {

class RawTransport final : public Transport {
 public:
  RawTransport()
      : receiver_(receiver_context_, zmq::socket_type::router),
        sender_(sender_context_, zmq::socket_type::dealer) {
    receiver_.set(zmq::sockopt::curve_server, true);
    receiver_.set(zmq::sockopt::curve_secretkey, server_.secret_key);
    receiver_.bind("tcp://127.0.0.1:*");
    sender_.set(zmq::sockopt::curve_serverkey, server_.public_key);
    sender_.set(zmq::sockopt::curve_publickey, client_.public_key);
    sender_.set(zmq::sockopt::curve_secretkey, client_.secret_key);
    sender_.connect(receiver_.get(zmq::sockopt::last_endpoint));
  }

  std::chrono::duration<double> carry(const Buffers& buffers, std::size_t messages) override {
    std::latch start(2);
    std::thread receiver([&] {
      zmq::message_t frame;
      start.arrive_and_wait();
      for (std::size_t i = 0; i < messages; ++i) {
        if (!receiver_.recv(frame) || !receiver_.recv(frame)) std::terminate();
      }
    });
    start.arrive_and_wait();
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < messages; ++i) {
      const auto& buffer = buffers[i % buffers.size()];
      zmq::message_t frame(const_cast<std::byte*>(buffer->data()), buffer->size(),
                           [](void*, void*) {}, nullptr);
      sender_.send(frame, zmq::send_flags::none);
    }
    receiver.join();
    return std::chrono::steady_clock::now() - begin;
  }

 private:
  proto::CurveKeyPair server_ = proto::make_curve_key_pair();
  proto::CurveKeyPair client_ = proto::make_curve_key_pair();
  zmq::context_t receiver_context_;
  zmq::context_t sender_context_;
  zmq::socket_t receiver_;
  zmq::socket_t sender_;
};

}  // namespace

std::unique_ptr<Transport> make_raw_transport() { return std::make_unique<RawTransport>(); }

}  // namespace longhaul::bench
