// Requests to a coordinator and a watched job, over one connection that dials again by itself.
#pragma once

#include "daemon/configuration/site_files.hpp"
#include "proto/channel/control_channel.hpp"
#include "proto/channel/curve_key.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace longhaul::daemon {

class CoordinatorClient {
 public:
  struct Options {
    CoordinatorAddress coordinator;
    proto::CurveKeyPair keys;
    // Else requests wait for a connection until their deadline.
    bool fail_without_connection = true;
  };
  using Answer = std::function<void(proto::Result<wire::Envelope>)>;
  using Event = std::function<void(proto::Result<wire::JobEvent>)>;

  [[nodiscard]] static proto::Result<std::unique_ptr<CoordinatorClient>> open(
      zmq::context_t& context, boost::asio::io_context& loop, Options options);

  // A Failure in reply, a lost connection and the deadline's end are errors.
  void ask(wire::Envelope message, std::chrono::milliseconds deadline, Answer answer);

  // Every event of the job from the first, in order and once each, across lost connections and a
  // coordinator that gave up on a reader too slow; but no older ones than it keeps. An error is the
  // last thing that comes: the job is not known.
  void watch(const std::string& job_id, Event on_event);

 private:
  struct Request {
    Answer answer;
    std::unique_ptr<boost::asio::steady_timer> timer;
  };

  CoordinatorClient(boost::asio::io_context& loop, Options options);
  void on_message(wire::Envelope message);
  void on_connection(bool connected, const std::string& reason);
  void on_watched(const wire::Envelope& message);
  void send_watch();
  void renew_watch();
  void answer(std::uint64_t request, proto::Result<wire::Envelope> with);

  boost::asio::io_context& loop_;
  Options options_;
  std::unique_ptr<proto::ControlClient> client_;
  std::uint64_t last_request_ = 0;
  std::map<std::uint64_t, Request> requests_;
  std::string no_connection_;  // why; empty while there is one, or none has been tried
  std::string watched_job_;
  Event on_event_;
  std::uint64_t watch_request_ = 0;
  std::uint64_t next_event_ = 0;
  std::uint64_t next_event_at_renewal_ = 0;
  boost::asio::steady_timer renewal_;
};

// The user's file, or the default one where `config` is empty.
[[nodiscard]] proto::Result<ClientConfiguration> load_client(const std::filesystem::path& config);

// As the user's file says.
[[nodiscard]] proto::Result<std::unique_ptr<CoordinatorClient>> open_client(
    zmq::context_t& context, boost::asio::io_context& loop, const std::filesystem::path& config,
    bool fail_without_connection = true);

struct Patience {
  std::chrono::milliseconds deadline{15'000};
  bool for_connection = false;  // the coordinator may only just be starting
};
// One request and its answer, for commands that do nothing else.
[[nodiscard]] proto::Result<wire::Envelope> ask_coordinator(const std::filesystem::path& config,
                                                            wire::Envelope message,
                                                            Patience patience = {});

}  // namespace longhaul::daemon
