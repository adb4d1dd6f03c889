// TensorChannel: the face of it; the work is tensor_sockets'.
#include "proto/channel/tensor_channel.hpp"

#include "proto/assert.hpp"
#include "proto/channel/tensor_sockets.hpp"

#include <fmt/format.h>

#include <utility>

namespace longhaul::proto {

Result<std::unique_ptr<TensorChannel>> TensorChannel::open(zmq::context_t& context,
                                                           boost::asio::io_context& loop,
                                                           Options options) {
  if (!is_z85_key(options.keys.public_key) || !is_z85_key(options.keys.secret_key)) {
    return configuration_error("the tensor channel's own key pair is not one of CURVE");
  }
  LONGHAUL_ASSERT(options.max_lanes > 0 && options.credit_bytes > 0);
  try {
    auto sockets = std::make_unique<TensorSockets>(context, loop, std::move(options));
    const auto started = sockets->start();
    if (started.has_error()) return started.error();
    return std::unique_ptr<TensorChannel>(new TensorChannel(std::move(sockets)));
  } catch (const zmq::error_t& error) {
    return Error{ErrorKind::kResource,
                 fmt::format("cannot open a tensor channel: {}", error.what())};
  }
}

TensorChannel::TensorChannel(std::unique_ptr<TensorSockets> sockets)
    : sockets_(std::move(sockets)) {}
TensorChannel::~TensorChannel() = default;
std::string TensorChannel::endpoint() const { return sockets_->endpoint(); }
void TensorChannel::accept(StageIndex peer, const std::string& public_key) {
  sockets_->accept(peer, public_key);
}
Result<void> TensorChannel::dial(StageIndex peer, const std::string& endpoint,
                                 const std::string& public_key) {
  return sockets_->dial(peer, endpoint, public_key);
}
void TensorChannel::send(StageIndex peer, wire::TensorHeader header, Payload payload) {
  sockets_->send(peer, std::move(header), std::move(payload));
}
void TensorChannel::used(StageIndex peer, std::uint64_t payload_bytes) {
  sockets_->used(peer, payload_bytes);
}
std::uint64_t TensorChannel::bytes_sent(StageIndex peer) const {
  return sockets_->link(peer).bytes_sent;
}
std::uint64_t TensorChannel::bytes_waiting(StageIndex peer) const {
  return sockets_->link(peer).sender.bytes_waiting();
}
LinkState TensorChannel::state(StageIndex peer) const { return sockets_->state(peer); }
void TensorChannel::when_acknowledged(std::chrono::milliseconds patience,
                                      std::function<void()> done) {
  sockets_->when_acknowledged(patience, std::move(done));
}

}  // namespace longhaul::proto
