// Workers for the tensor channel's tests: one that keeps to the protocol and one that need not.
#pragma once

#include "proto/channel/tensor_channel.hpp"

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <zmq.hpp>

namespace longhaul::proto::test {

inline constexpr PlanEpoch kEpoch{7};

// A header that the receiver takes, for `elements` of float32.
wire::TensorHeader activation_header(std::uint64_t step, std::size_t elements);
// `elements` floats of memory of their own, all of the given value.
Payload floats(std::size_t elements, float value);

// A TensorChannel and what it was told.
struct Worker {
  Worker(zmq::context_t& context, boost::asio::io_context& loop, std::uint32_t stage,
         TensorChannel::Options options = {});
  void accept(const Worker& peer);
  void dial(const Worker& peer);
  [[nodiscard]] bool linked_to(const Worker& peer) const { return linked.contains(peer.stage); }
  [[nodiscard]] bool failed_with(const std::string& part) const;

  StageIndex stage;
  CurveKeyPair keys = make_curve_key_pair();
  std::vector<std::pair<wire::TensorHeader, Payload>> received;
  std::set<StageIndex> linked;
  std::vector<std::pair<StageIndex, Error>> errors;
  std::unique_ptr<TensorChannel> channel;
};

// A dialler by hand, with the key of a stage.
class RawWorker {
 public:
  RawWorker(zmq::context_t& context, const Worker& acceptor, std::uint32_t stage);
  // Header and first fragment; payload_bytes and checksum are the payload's unless they were set.
  void send(wire::TensorHeader header, const std::string& payload = {});
  void send_frames(const std::vector<std::string>& frames);
  // Ready to send: epoch, sequence and stage are right unless changed.
  wire::TensorHeader next(wire::TensorHeader::Kind kind);
  void introduce() { send(next(wire::TensorHeader::HELLO)); }

  StageIndex stage;
  CurveKeyPair keys = make_curve_key_pair();
  zmq::socket_t socket;
  std::uint64_t sequence = 0;

};

}  // namespace longhaul::proto::test
