// What one worker knows of its link to another: who that is, how far both directions have come, and
// which messages are therefore to be believed.
#pragma once

#include "proto/channel/dialling_socket.hpp"
#include "proto/channel/tensor_frames.hpp"
#include "proto/error.hpp"
#include "proto/ids.hpp"
#include "proto/tensor.pb.h"

#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

namespace longhaul::proto {

struct LinkEnds {
  StageIndex self;
  StageIndex peer;
  PlanEpoch epoch;
};

// What frames amount to, once they are checked.
struct Arrival {
  enum class Kind {
    kNothing,       // more has to come
    kIntroduction,  // HELLO, or HELLO_REPLY for the side that dialled: the link may be used
    kMessage,
  };
  Kind kind = Kind::kNothing;
  wire::TensorHeader header;
  Payload payload;
};

struct TensorLink {
  enum class State {
    kExpected,  // named by the plan, not yet introduced
    kLinked,
    kLost,  // for good: nothing is received any more, what is sent is dropped
  };

  TensorLink(boost::asio::io_context& loop, LinkEnds link_ends) : ends(link_ends), deadline(loop) {}

  // Numbers the next message of this side.
  void stamp(wire::TensorHeader& header);
  // The next frames of the other side. An error means that the link cannot be trusted any more.
  [[nodiscard]] Result<Arrival> take(IncomingFrames frames, std::size_t max_payload_bytes,
                                     PayloadMemory& memory);
  // Both sides start counting anew.
  void restart() { next_sent = next_received = 0; }

  LinkEnds ends;
  State state = State::kExpected;
  std::uint64_t next_sent = 0;
  std::uint64_t next_received = 0;
  std::uint64_t bytes_sent = 0;
  BytesHeld held = std::make_shared<std::atomic<std::uint64_t>>(0);
  boost::asio::steady_timer deadline;       // for the introduction
  std::string obstacle;                     // why there is no connection yet, if that is known
  bool disconnected = false;                // what arrived before that is still to be read
  std::optional<PayloadAssembly> arriving;  // a message of which only the beginning is there

  std::unique_ptr<DiallingSocket> dialler;  // this side dials
  std::string routing_id;                   // the other side dials: its connection, once introduced
  int descriptor = -1;

 private:
  [[nodiscard]] Result<void> begin_message(const IncomingFrames& frames, wire::TensorHeader header,
                                           std::size_t max_payload_bytes, PayloadMemory& memory);
  [[nodiscard]] Result<Arrival> introduce(const IncomingFrames& frames,
                                          const wire::TensorHeader& header);
  // Sender, epoch and sequence; counts the message if they fit.
  [[nodiscard]] Result<void> admit(const wire::TensorHeader& header);
  [[nodiscard]] Error broken(const std::string& what) const;
};

}  // namespace longhaul::proto
