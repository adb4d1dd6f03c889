// The CompNode daemon around its state machine: sockets, processes, a timer.
#pragma once

#include "daemon/host/child_process.hpp"
#include "daemon/host/clock.hpp"
#include "daemon/host/cpu_share.hpp"
#include "daemon/node/node.hpp"
#include "daemon/node/profile_service.hpp"
#include "proto/channel/control_channel.hpp"
#include "proto/channel/curve_key.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

namespace longhaul::daemon {

// Everything runs on the loop's thread.
class NodeService final : private Uplink, private WorkerHost {
 public:
  struct Options {
    Node::Options node;
    std::string coordinator;      // endpoint
    std::string coordinator_key;  // Z85
    proto::CurveKeyPair keys;
    std::filesystem::path worker;  // the program
    // A folder for the workers' socket and profiles; made with mode 0700.
    std::filesystem::path state;
    std::function<void(std::string)> log;
    // Once: stopped as asked, or the coordinator refuses this node for good.
    std::function<void(proto::Result<void>)> on_end;
  };

  // kResource if another daemon uses the state folder; kConfiguration for a path too long for a
  // socket, or a coordinator's address that is none.
  [[nodiscard]] static proto::Result<std::unique_ptr<NodeService>> open(
      zmq::context_t& context, boost::asio::io_context& loop, Options options);
  ~NodeService() override;

  // Ends the workers, tells the coordinator, then calls on_end. A second call kills the workers.
  void stop(const std::string& reason);

 private:
  NodeService(boost::asio::io_context& loop, Options options);

  proto::Result<void> start(zmq::context_t& context);
  proto::Result<void> take_folder();
  bool send(const wire::Envelope& message) override;
  proto::Result<void> spawn(const WorkerId& id, const wire::Stage& stage) override;
  bool send(const WorkerId& id, const wire::Envelope& message) override;
  void signal(const WorkerId& id, int number) override;

  [[nodiscard]] proto::Result<void> limit(const WorkerId& id, const wire::Stage& stage);
  void on_coordinator_message(const wire::Envelope& message);
  void on_worker_message(const proto::ControlPeer& peer, const wire::Envelope& message);
  void on_worker_exit(const WorkerId& id, ProcessExit exit);
  void tick();
  void settle();  // after every event: logs, and ends if the node has

  struct WorkerProcess {
    std::unique_ptr<ChildProcess> process;
    std::string public_key;
    std::optional<proto::ControlPeer> peer;  // once it has spoken
    std::unique_ptr<CpuShare> share;         // where the device is not the worker's alone
  };

  boost::asio::io_context& loop_;
  Options options_;
  SystemClock clock_;
  Node node_;
  int lock_ = -1;  // descriptor of the lock file in the state folder
  proto::CurveKeyPair local_keys_;
  std::unique_ptr<proto::ControlServer> local_;
  std::unique_ptr<proto::ControlClient> uplink_;
  std::map<WorkerId, WorkerProcess> workers_;
  std::unique_ptr<ProfileService> profiles_;  // until the node stops
  boost::asio::steady_timer timer_;
  bool stop_requested_ = false;
  bool ended_ = false;
};

}  // namespace longhaul::daemon
