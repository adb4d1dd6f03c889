// The edge-triggered dance between ZMQ_FD and Asio's reactor.
#include "proto/channel/zmq_watch.hpp"

#include "proto/assert.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>

#include <thread>
#include <utility>

namespace longhaul::proto {

// Outlives the watch while a handler of it is under way in the loop.
struct ZmqWatch::State : std::enable_shared_from_this<ZmqWatch::State> {
  State(boost::asio::io_context& io, int fd, Turn t)
      : loop(io), descriptor(io, fd), turn(std::move(t)) {}

  void schedule() {
    if (closed || scheduled) return;
    scheduled = true;
    boost::asio::post(loop, [self = shared_from_this()] {
      self->scheduled = false;
      self->run();
    });
  }

  void wait() {
    if (closed || waiting) return;
    waiting = true;
    descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](const boost::system::error_code&) {
                            self->waiting = false;
                            self->run();
                          });
  }

  // Arming the wait after the last look for input loses nothing: Asio re-arms the descriptor,
  // and that fires at once if it became readable in between.
  void run() {
    if (closed) return;
    thread = std::this_thread::get_id();
    if (turn()) {
      schedule();
    } else {
      wait();
    }
  }

  boost::asio::io_context& loop;
  boost::asio::posix::stream_descriptor descriptor;
  Turn turn;
  std::thread::id thread;  // that ran the last turn
  bool scheduled = false;
  bool waiting = false;
  bool closed = false;
};

ZmqWatch::ZmqWatch(boost::asio::io_context& loop, zmq::socket_ref socket, Turn turn)
    : state_(std::make_shared<State>(loop, socket.get(zmq::sockopt::fd), std::move(turn))) {
  state_->schedule();
}

ZmqWatch::~ZmqWatch() {
  state_->closed = true;
  state_->descriptor.release();  // cancels the wait; the descriptor stays ZeroMQ's
}

void ZmqWatch::kick() {
  // Only the thread that runs the loop may touch the socket, or any while the loop does not run.
  LONGHAUL_ASSERT(state_->thread == std::thread::id() ||
                  state_->thread == std::this_thread::get_id() || state_->loop.stopped());
  state_->schedule();
}

}  // namespace longhaul::proto
