// The fleet of `longhaul run`: coordinator and CompNodes as child processes in a folder of its own.
#pragma once

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
    std::uint32_t threads = 1;       // of each node
    std::uint64_t memory_bytes = 0;  // of each node, for a cpu
    std::vector<wire::Device> cuda = {};  // given out in turn; empty: the nodes compute on the cpu
    std::filesystem::path worker;
    std::function<void(const std::string& line)> on_log = {};  // who wrote it, and what
    // A process of the fleet ended though nobody stopped it; told once.
    std::function<void(proto::Error)> on_loss = {};
  };

  // Folders of fleets whose `longhaul run` was killed are removed first. The new one is
  // longhaul-run-PID in TMPDIR, mode 0700.
  [[nodiscard]] static proto::Result<std::unique_ptr<LocalFleet>> start(
      boost::asio::io_context& loop, Options options);
  ~LocalFleet();  // kills what still runs and removes the folder

  [[nodiscard]] const CoordinatorAddress& address() const { return address_; }
  [[nodiscard]] const proto::CurveKeyPair& operator_keys() const { return operator_keys_; }

  // Nodes first, so that they can say goodbye; then the coordinator. What takes too long is killed.
  void stop(std::function<void()> on_stopped);
  void kill();

 private:
  struct Child {
    std::string name;
    std::unique_ptr<ChildProcess> process;
  };

  LocalFleet(boost::asio::io_context& loop, Options options);
  proto::Result<void> prepare();
  proto::Result<void> start_child(const std::string& name, const std::string& program,
                                  const std::string& configuration);
  [[nodiscard]] std::string coordinator_yaml(
      const std::vector<proto::CurveKeyPair>& nodes) const;
  [[nodiscard]] std::string node_yaml(std::uint32_t index) const;
  void on_exit(const std::string& name, ProcessExit exit);
  void stop_next();

  boost::asio::io_context& loop_;
  Options options_;
  std::filesystem::path folder_;
  CoordinatorAddress address_;
  proto::CurveKeyPair operator_keys_;
  std::vector<Child> children_;  // the coordinator first
  boost::asio::steady_timer deadline_;
  bool stopping_ = false;
  bool told_loss_ = false;
  std::function<void()> on_stopped_;
};

}  // namespace longhaul::daemon
