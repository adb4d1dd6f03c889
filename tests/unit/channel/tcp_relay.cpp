// Forwards bytes both ways until it is told not to.
#include "tests/unit/channel/tcp_relay.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>
#include <vector>

namespace longhaul::proto::test {
namespace {

using boost::asio::ip::tcp;

struct Pipe : std::enable_shared_from_this<Pipe> {
  explicit Pipe(boost::asio::io_context& loop) : near(loop), far(loop) {}

  void forward(tcp::socket& from, tcp::socket& to, std::array<char, 65536>& buffer) {
    from.async_read_some(boost::asio::buffer(buffer), [self = shared_from_this(), &from, &to,
                                                       &buffer](auto error, std::size_t bytes) {
      if (error || bytes > self->left) return self->close();
      self->left -= bytes;
      boost::asio::async_write(to, boost::asio::buffer(buffer, bytes),
                               [self, &from, &to, &buffer](auto failed, std::size_t) {
                                 if (failed) return self->close();
                                 self->forward(from, to, buffer);
                               });
    });
  }

  void close() {
    boost::system::error_code ignored;
    near.close(ignored);
    far.close(ignored);
  }

  tcp::socket near;
  tcp::socket far;
  std::array<char, 65536> up{};
  std::array<char, 65536> down{};
  std::size_t left = std::numeric_limits<std::size_t>::max();
};

}  // namespace

class TcpRelay::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(boost::asio::io_context& loop, const std::string& endpoint)
      : loop_(loop), acceptor_(loop, {boost::asio::ip::address_v4::loopback(), 0}) {
    std::uint16_t port = 0;
    const std::string text = endpoint.substr(endpoint.rfind(':') + 1);
    std::from_chars(text.data(), text.data() + text.size(), port);
    target_ = {boost::asio::ip::address_v4::loopback(), port};
  }

  void accept() {
    auto pipe = std::make_shared<Pipe>(loop_);
    acceptor_.async_accept(pipe->near, [self = shared_from_this(), pipe](auto error) {
      if (error) return;
      self->pipes.push_back(pipe);
      boost::system::error_code failed;
      if (self->open) pipe->far.connect(self->target_, failed);
      if (!self->open || failed) {
        pipe->close();
      } else {
        pipe->left = self->cut_after;
        pipe->forward(pipe->near, pipe->far, pipe->up);
        pipe->forward(pipe->far, pipe->near, pipe->down);
      }
      self->accept();
    });
  }

  void stop() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (const auto& pipe : pipes) pipe->close();
  }

  [[nodiscard]] std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  std::vector<std::shared_ptr<Pipe>> pipes;
  bool open = true;
  std::size_t cut_after = std::numeric_limits<std::size_t>::max();

 private:
  boost::asio::io_context& loop_;
  tcp::acceptor acceptor_;
  tcp::endpoint target_;
};

TcpRelay::TcpRelay(boost::asio::io_context& loop, const std::string& endpoint)
    : impl_(std::make_shared<Impl>(loop, endpoint)) {
  impl_->accept();
}
TcpRelay::~TcpRelay() { impl_->stop(); }
std::string TcpRelay::endpoint() const {
  return "tcp://127.0.0.1:" + std::to_string(impl_->port());
}
void TcpRelay::cut() {
  for (const auto& pipe : impl_->pipes) pipe->close();
}
void TcpRelay::cut(std::size_t which) { impl_->pipes.at(which)->close(); }
void TcpRelay::set_open(bool open) { impl_->open = open; }
std::size_t TcpRelay::connections_made() const { return impl_->pipes.size(); }
void TcpRelay::cut_after(std::size_t bytes) { impl_->cut_after = bytes; }

}  // namespace longhaul::proto::test
