// Runs an Asio loop until a condition holds, with a deadline instead of sleeps.
#pragma once

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>

namespace longhaul::daemon {

// True once `condition` holds; false if that takes over 20 s.
inline bool run_until(boost::asio::io_context& loop, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    loop.restart();
    loop.run_one_until(deadline);
  }
  return true;
}

}  // namespace longhaul::daemon
