// The fleet of `longhaul run`: coordinator and CompNodes as child processes in a folder of its own.
#pragma once

#include "daemon/cli/programs/wan_command_line.hpp"
#include "daemon/configuration/site_files.hpp"
#include "daemon/host/child_process.hpp"
#include "proto/channel/curve_key.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::daemon {

class LocalFleet {
 public:
  struct Options {
    std::uint32_t nodes = 1;
    std::uint32_t threads = 1;            // of each node
    std::uint64_t memory_bytes = 0;       // of each node, for a cpu
    std::vector<double> cpu_shares = {};  // of the nodes in turn, (0, 1]; empty: 1
    std::vector<wire::Device> cuda = {};  // given out in turn; empty: the nodes compute on the cpu
    std::filesystem::path worker;
    // The nodes are dealt to the sites of this network in turn; empty: all are here. The
    // coordinator is reached by a socket file, so that control takes nothing from the network.
    std::optional<WanOptions> wan = {};
    std::function<void(const std::string& line)> on_log = {};  // who wrote it, and what
    // A process of the fleet ended though nobody stopped it; told once.
    std::function<void(proto::Error)> on_loss = {};
  };

  // The nodes that a fleet of these options would have, without starting any.
  [[nodiscard]] static std::vector<wire::NodeInfo> nodes(const Options& options);

  // Folders of fleets whose `longhaul run` was killed are removed first. The new one is
  // longhaul-run-PID in TMPDIR, mode 0700.
  [[nodiscard]] static proto::Result<std::unique_ptr<LocalFleet>> start(
      boost::asio::io_context& loop, Options options);
  ~LocalFleet();  // kills what still runs and removes the folder

  [[nodiscard]] const CoordinatorAddress& address() const { return address_; }
  [[nodiscard]] const proto::CurveKeyPair& operator_keys() const { return operator_keys_; }

  // Nodes first, so that they can say goodbye; then the coordinator, then the network. What takes
  // too long is killed.
  void stop(std::function<void()> on_stopped);
  void kill();

 private:
  struct Child {
    std::string name;
    std::unique_ptr<ChildProcess> process;
  };

  LocalFleet(boost::asio::io_context& loop, Options options);
  proto::Result<void> prepare();
  struct Start {
    std::string name;
    std::string program;
    std::vector<std::string> arguments;
    std::vector<std::filesystem::path> namespaces = {};
    std::function<void(std::string line)> on_output = {};
  };
  proto::Result<void> start_child(Start start);
  proto::Result<void> write_file(const std::filesystem::path& file, const std::string& text);
  proto::Result<void> start_network();
  void on_network_line(const std::string& line);
  proto::Result<void> start_nodes();
  [[nodiscard]] std::string coordinator_yaml(const std::vector<proto::CurveKeyPair>& nodes) const;
  [[nodiscard]] std::string node_yaml(const wire::NodeInfo& node) const;
  void tell_loss(const proto::Error& error);
  void on_exit(const std::string& name, ProcessExit exit);
  void stop_next();

  boost::asio::io_context& loop_;
  Options options_;
  std::filesystem::path folder_;
  CoordinatorAddress address_;
  proto::CurveKeyPair operator_keys_;
  std::vector<Child> children_;      // the network, if there is one, the coordinator, the nodes
  std::vector<SiteEntrance> sites_;  // of the network, once it is up
  boost::asio::steady_timer deadline_;
  bool stopping_ = false;
  bool told_loss_ = false;
  std::function<void()> on_stopped_;
};

}  // namespace longhaul::daemon
