// A relay of TCP connections that a test can cut, as the Internet does.
#pragma once

#include <boost/asio/io_context.hpp>

#include <cstddef>
#include <memory>
#include <string>

namespace longhaul::proto::test {

// Lives on the loop. Listens on a port of its own and forwards to `endpoint`.
class TcpRelay {
 public:
  TcpRelay(boost::asio::io_context& loop, const std::string& endpoint);
  ~TcpRelay();
  TcpRelay(const TcpRelay&) = delete;
  TcpRelay& operator=(const TcpRelay&) = delete;

  [[nodiscard]] std::string endpoint() const;
  // Ends every connection at once, without a word of what is inside.
  void cut();
  // Ends the connection that came as number `which`, from 0.
  void cut(std::size_t which);
  // While closed, new connections end at once.
  void set_open(bool open);
  [[nodiscard]] std::size_t connections_made() const;
  // What the relay holds back of a direction: bytes per connection are cut off after this many.
  void cut_after(std::size_t bytes);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace longhaul::proto::test
