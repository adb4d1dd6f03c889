// The coordinator around its state machine: socket, SQLite, a timer, a line of log per transition.
#pragma once

#include "daemon/coordinator/coordinator.hpp"
#include "daemon/coordinator/sqlite_store.hpp"
#include "proto/channel/control_channel.hpp"
#include "proto/channel/curve_key.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <filesystem>
#include <functional>
#include <memory>
#include <string>

namespace longhaul::daemon {

// Everything runs on the loop's thread. A store that takes no more ends loop.run() with
// proto::Failed.
class CoordinatorService final : private Network, private Store {
 public:
  struct Options {
    std::string listen;  // endpoint
    proto::CurveKeyPair keys;
    std::filesystem::path state;  // folder of the database
    Coordinator::Options coordinator;
    std::function<void(std::string)> log;
  };

  // kResource for a port in use or a state folder that another coordinator has.
  [[nodiscard]] static proto::Result<std::unique_ptr<CoordinatorService>> open(
      zmq::context_t& context, boost::asio::io_context& loop, Options options);
  ~CoordinatorService() override = default;

  [[nodiscard]] std::string endpoint() const { return server_->endpoint(); }

 private:
  CoordinatorService(boost::asio::io_context& loop, Options options);

  proto::Result<void> start(zmq::context_t& context, boost::asio::io_context& loop);
  bool send(const proto::ControlPeer& to, const wire::Envelope& message) override;
  proto::Result<void> commit(const Transition& transition) override;
  proto::Result<std::vector<wire::JobEvent>> events(const std::string& job_id,
                                                    std::uint64_t from) override;
  void log_transition(const Transition& transition);
  void tick();

  Options options_;
  SystemClock clock_;
  std::unique_ptr<SqliteStore> store_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<proto::ControlServer> server_;
  boost::asio::steady_timer timer_;
};

}  // namespace longhaul::daemon
