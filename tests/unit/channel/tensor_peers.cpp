// Workers for the tensor channel's tests.
#include "tests/unit/channel/tensor_peers.hpp"

#include "proto/checksum.hpp"
#include "tests/unit/channel/loopback.hpp"

#include <doctest/doctest.h>

#include <algorithm>

namespace longhaul::proto::test {

wire::TensorHeader activation_header(std::uint64_t step, std::size_t elements) {
  wire::TensorHeader header;
  header.set_kind(wire::TensorHeader::ACTIVATION);
  header.set_element_type(wire::FLOAT32);
  header.set_name("h.0.add");
  header.set_step(step);
  if (elements > 0) header.add_shape(static_cast<std::int64_t>(elements));
  return header;
}

Payload floats(std::size_t elements, float value) {
  auto memory = std::make_shared<std::vector<float>>(elements, value);
  return {std::as_bytes(std::span(*memory)), memory};
}

Worker::Worker(zmq::context_t& context, boost::asio::io_context& loop, std::uint32_t index,
               TensorChannel::Options options)
    : stage(index) {
  options.bind_host = "127.0.0.1";
  options.self = stage;
  if (options.epoch == PlanEpoch{}) options.epoch = kEpoch;
  options.keys = keys;
  options.linger = std::chrono::milliseconds(0);
  options.on_message = [this](wire::TensorHeader header, Payload payload) {
    received.emplace_back(std::move(header), std::move(payload));
  };
  options.on_linked = [this](StageIndex peer) { linked.insert(peer); };
  options.on_error = [this](StageIndex peer, Error error) {
    errors.emplace_back(peer, std::move(error));
  };
  auto opened = TensorChannel::open(context, loop, std::move(options));
  REQUIRE(opened.has_value());
  channel = std::move(opened).value();
}

void Worker::accept(const Worker& peer) { channel->accept(peer.stage, peer.keys.public_key); }

void Worker::dial(const Worker& peer) {
  REQUIRE(channel->dial(peer.stage, peer.channel->endpoint(), peer.keys.public_key).has_value());
}

bool Worker::failed_with(const std::string& part) const {
  return std::ranges::any_of(errors, [&](const auto& error) {
    return error.second.message.find(part) != std::string::npos;
  });
}

RawWorker::RawWorker(zmq::context_t& context, const Worker& acceptor, std::uint32_t index)
    : RawWorker(context, acceptor.channel->endpoint(), acceptor.keys.public_key,
                make_curve_key_pair(), index) {
  acceptor.channel->accept(stage, keys.public_key);
}

RawWorker::RawWorker(zmq::context_t& context, const std::string& endpoint,
                     const std::string& server_key, CurveKeyPair own_keys, std::uint32_t index)
    : stage(index),
      keys(std::move(own_keys)),
      status(raw_dealer(context, endpoint, keys, server_key)),
      fragments(raw_dealer(context, endpoint, keys, server_key)) {}

wire::TensorHeader RawWorker::next(wire::TensorHeader::Kind kind) {
  wire::TensorHeader header = activation_header(0, 0);
  header.set_kind(kind);
  header.set_epoch(kEpoch.value);
  header.set_from_stage(stage.value);
  header.set_sequence(sequence++);
  return header;
}

wire::Fragment RawWorker::piece(const wire::TensorHeader& header, const std::string& payload,
                                std::uint64_t offset, std::uint64_t bytes) {
  wire::Fragment fragment;
  fragment.set_sequence(header.sequence());
  fragment.set_payload_bytes(payload.size());
  fragment.set_offset(offset);
  fragment.set_checksum(checksum(std::as_bytes(std::span(payload).subspan(offset, bytes))));
  if (offset == 0) *fragment.mutable_header() = header;
  return fragment;
}

void RawWorker::send(const wire::TensorHeader& header, const std::string& payload) {
  send_piece(piece(header, payload, 0, payload.size()), payload);
}

void RawWorker::send_piece(const wire::Fragment& fragment, const std::string& bytes) {
  wire::LinkFrame frame;
  *frame.mutable_fragments()->add_fragments() = fragment;
  send_frames({framed(frame.SerializeAsString()), bytes});
}

void RawWorker::send_status(const wire::LinkStatus& what) {
  wire::LinkFrame frame;
  *frame.mutable_status() = what;
  send_frames(status, {framed(frame.SerializeAsString())});
}

wire::Introduction RawWorker::introduction(std::uint32_t lane) const {
  wire::Introduction introduction;
  introduction.set_stage(stage.value);
  introduction.set_epoch(kEpoch.value);
  introduction.set_session(session);
  introduction.set_lane(lane);
  introduction.set_connection(connection);
  introduction.set_credit_bytes(1 << 20);
  return introduction;
}

void RawWorker::introduce(const wire::Introduction& introduction) {
  wire::LinkFrame frame;
  *frame.mutable_introduction() = introduction;
  send_frames(introduction.lane() == 0 ? status : fragments, {framed(frame.SerializeAsString())});
}

void RawWorker::introduce() {
  introduce(introduction(0));
  introduce(introduction(1));
}

std::string RawWorker::framed(const std::string& bytes) {
  std::string out;
  for (int i = 0; i < 4; ++i) out += static_cast<char>(bytes.size() >> (8 * i) & 0xff);
  return out + bytes;
}

void RawWorker::send_frames(zmq::socket_t& socket, const std::vector<std::string>& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    zmq::message_t frame(frames[i].data(), frames[i].size());
    socket.send(frame, i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
}

}  // namespace longhaul::proto::test
