// SIGINT, SIGTERM and SIGHUP as calls on the loop.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <functional>
#include <string>
#include <utility>

namespace longhaul::daemon {

// Calls the function each time with "SIGTERM" and so on. Also keeps SIGPIPE from ending the
// program: writing says what is wrong.
class StopSignals {
 public:
  StopSignals(boost::asio::io_context& loop, std::function<void(std::string)> on_signal)
      : set_(loop, SIGINT, SIGTERM, SIGHUP), on_signal_(std::move(on_signal)) {
    std::signal(SIGPIPE, SIG_IGN);
    wait();
  }

 private:
  void wait() {
    set_.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      wait();
      on_signal_(number == SIGINT ? "SIGINT" : number == SIGTERM ? "SIGTERM" : "SIGHUP");
    });
  }

  boost::asio::signal_set set_;
  std::function<void(std::string)> on_signal_;
};

}  // namespace longhaul::daemon
