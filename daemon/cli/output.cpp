// write(2) with a memory for what an interruption left over.
#include "daemon/cli/output.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace longhaul::daemon {

bool Output::write(std::string_view text) {
  pending_ += text;
  while (!pending_.empty()) {
    pollfd writable{file_descriptor_, POLLOUT, 0};
    const int ready = poll(&writable, 1, waits_ && !interrupted_ ? -1 : 0);
    if (ready == 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    // A pipe that is writable takes this much without waiting.
    const auto written = ready < 0 ? -1
                                   : ::write(file_descriptor_, pending_.data(),
                                             std::min<std::size_t>(pending_.size(), PIPE_BUF));
    if (written >= 0) {
      pending_.erase(0, static_cast<std::size_t>(written));
    } else if (errno == EINTR) {
      interrupted_ = true;
    } else if (errno != EAGAIN) {
      return false;
    }
  }
  interrupted_ = false;
  return true;
}

}  // namespace longhaul::daemon
