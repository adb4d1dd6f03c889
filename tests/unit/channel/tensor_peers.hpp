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

// A dialler by hand, with the key of a stage: one connection for status, one for fragments.
class RawWorker {
 public:
  RawWorker(zmq::context_t& context, const Worker& acceptor, std::uint32_t stage);
  // Of an acceptor that has been told the key.
  RawWorker(zmq::context_t& context, const std::string& endpoint, const std::string& server_key,
            CurveKeyPair own_keys, std::uint32_t stage);
  // A message in one piece, or the first piece of one of `payload_bytes`.
  void send(const wire::TensorHeader& header, const std::string& payload = {});
  // A piece: right in every field, for the caller to change.
  [[nodiscard]] static wire::Fragment piece(const wire::TensorHeader& header,
                                            const std::string& payload, std::uint64_t offset,
                                            std::uint64_t bytes);
  void send_piece(const wire::Fragment& fragment, const std::string& bytes);
  void send_frames(const std::vector<std::string>& frames) { send_frames(fragments, frames); }
  // A LinkFrame's bytes, as the first frame carries them.
  [[nodiscard]] static std::string framed(const std::string& bytes);
  static void send_frames(zmq::socket_t& socket, const std::vector<std::string>& frames);
  void send_status(const wire::LinkStatus& status);
  // Ready to send: epoch, sequence and stage are right unless changed.
  wire::TensorHeader next(wire::TensorHeader::Kind kind = wire::TensorHeader::ACTIVATION);
  [[nodiscard]] wire::Introduction introduction(std::uint32_t lane) const;
  void introduce(const wire::Introduction& introduction);
  // Both connections.
  void introduce();

  StageIndex stage;
  CurveKeyPair keys;
  zmq::socket_t status;
  zmq::socket_t fragments;
  std::uint64_t sequence = 0;
  std::uint64_t session = 77;
  std::uint64_t connection = 1;
};

}  // namespace longhaul::proto::test
