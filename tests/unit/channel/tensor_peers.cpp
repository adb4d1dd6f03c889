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
    : stage(index),
      socket(raw_dealer(context, acceptor.channel->endpoint(), keys, acceptor.keys.public_key)) {
  acceptor.channel->accept(stage, keys.public_key);
}

wire::TensorHeader RawWorker::next(wire::TensorHeader::Kind kind) {
  wire::TensorHeader header = activation_header(0, 0);
  header.set_kind(kind);
  header.set_epoch(kEpoch.value);
  header.set_from_stage(stage.value);
  header.set_sequence(sequence++);
  return header;
}

void RawWorker::send(wire::TensorHeader header, const std::string& payload) {
  if (header.payload_bytes() == 0) header.set_payload_bytes(payload.size());
  if (header.checksum() == 0) {
    header.set_checksum(checksum(std::as_bytes(std::span(payload))));
  }
  send_frames({header.SerializeAsString(), payload});
}

void RawWorker::send_frames(const std::vector<std::string>& frames) {
  for (std::size_t i = 0; i < frames.size(); ++i) {
    zmq::message_t frame(frames[i].data(), frames[i].size());
    socket.send(frame, i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
}

}  // namespace longhaul::proto::test
