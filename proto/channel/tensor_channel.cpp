// TensorChannel: the face of it; the work is tensor_sockets'.
#include "proto/channel/tensor_channel.hpp"

#include "proto/assert.hpp"
#include "proto/channel/tensor_sockets.hpp"

#include <fmt/format.h>

#include <utility>

namespace longhaul::proto {

class TensorChannel::Impl {
 public:
  Impl(zmq::context_t& context, boost::asio::io_context& loop, Options options)
      : sockets(context, loop, std::move(options)) {}
  TensorSockets sockets;
};

Result<std::unique_ptr<TensorChannel>> TensorChannel::open(zmq::context_t& context,
                                                           boost::asio::io_context& loop,
                                                           Options options) {
  if (!is_z85_key(options.keys.public_key) || !is_z85_key(options.keys.secret_key)) {
    return configuration_error("the tensor channel's own key pair is not one of CURVE");
  }
  LONGHAUL_ASSERT(options.max_lanes > 0 && options.credit_bytes > 0);
  try {
    auto impl = std::make_unique<Impl>(context, loop, std::move(options));
    const auto started = impl->sockets.start();
    if (started.has_error()) return started.error();
    return std::unique_ptr<TensorChannel>(new TensorChannel(std::move(impl)));
  } catch (const zmq::error_t& error) {
    return Error{ErrorKind::kResource,
                 fmt::format("cannot open a tensor channel: {}", error.what())};
  }
}

TensorChannel::TensorChannel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TensorChannel::~TensorChannel() = default;
std::string TensorChannel::endpoint() const { return impl_->sockets.endpoint(); }
void TensorChannel::accept(StageIndex peer, const std::string& public_key) {
  impl_->sockets.accept(peer, public_key);
}
Result<void> TensorChannel::dial(StageIndex peer, const std::string& endpoint,
                                 const std::string& public_key) {
  return impl_->sockets.dial(peer, endpoint, public_key);
}
void TensorChannel::send(StageIndex peer, wire::TensorHeader header, Payload payload) {
  impl_->sockets.send(peer, std::move(header), std::move(payload));
}
void TensorChannel::used(StageIndex peer, std::uint64_t payload_bytes) {
  impl_->sockets.used(peer, payload_bytes);
}
std::uint64_t TensorChannel::bytes_sent(StageIndex peer) const {
  return impl_->sockets.link(peer).bytes_sent;
}
std::uint64_t TensorChannel::bytes_waiting(StageIndex peer) const {
  return impl_->sockets.link(peer).sender.bytes_waiting();
}
LinkState TensorChannel::state(StageIndex peer) const { return impl_->sockets.state(peer); }
void TensorChannel::when_acknowledged(std::chrono::milliseconds patience,
                                      std::function<void()> done) {
  impl_->sockets.when_acknowledged(patience, std::move(done));
}

}  // namespace longhaul::proto
