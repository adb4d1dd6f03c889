// Measures models on this node's devices when the coordinator asks, and keeps the answers.
#pragma once

#include "daemon/host/child_process.hpp"
#include "daemon/host/clock.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace longhaul::daemon {

// On the loop's thread. One model is measured at a time, by `longhaul-worker profile`, without the
// limits that workers are held to. A profile is kept as FOLDER/HASH.json; the hash is of the device
// (name, description, threads) and the model (proto::profile_key).
class ProfileService {
 public:
  struct Options {
    std::filesystem::path worker;  // the program
    std::filesystem::path folder;
    std::vector<wire::Device> devices;  // of this node
    milliseconds patience{120'000};     // for one measurement; then it is killed
    std::function<void(const wire::ProfileMeasured&)> on_done;  // once for each key asked for
    std::function<void(std::string)> log;
  };

  ProfileService(boost::asio::io_context& loop, Options options);

  // Answers by on_done, at once where the profile is kept. An order whose key is under way already
  // is answered with that.
  void measure(const wire::MeasureProfile& order);

 private:
  struct Order {
    std::string key;
    wire::ProfileRequest request;
    std::filesystem::path file;
  };

  [[nodiscard]] std::filesystem::path file_of(const wire::ProfileRequest& request) const;
  void start_next();
  void on_exit(ProcessExit exit);
  void finish(const proto::Result<std::string>& profile);
  void answer(const std::string& key, const proto::Result<std::string>& profile) const;

  boost::asio::io_context& loop_;
  Options options_;
  std::deque<Order> orders_;  // the first is being measured while process_ is there
  std::unique_ptr<ChildProcess> process_;
  std::string output_;
  bool too_slow_ = false;
  boost::asio::steady_timer deadline_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // what is posted looks at it
};

}  // namespace longhaul::daemon
