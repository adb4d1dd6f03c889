// Text to a file descriptor that may be a pipe to a slow reader, and signals that must not wait.
#pragma once

#include <string>
#include <string_view>

namespace longhaul::daemon {

class Output {
 public:
  explicit Output(int file_descriptor) : file_descriptor_(file_descriptor) {}

  // Writes what is left of earlier texts, then this one. Waits for a slow reader, until a signal
  // is handled on this thread: from then on it writes only what is taken at once and keeps the
  // rest for the next call, until all is written. So a program that was told to stop comes back to
  // its loop. False: nobody reads any more, or the disk is full; SIGPIPE has to be ignored.
  [[nodiscard]] bool write(std::string_view text);

  // From now on no call waits for a reader; what it does not take is lost at the end.
  void stop_waiting() { waits_ = false; }

 private:
  int file_descriptor_;
  std::string pending_;
  bool waits_ = true;
  bool interrupted_ = false;  // and not all has been written since
};

}  // namespace longhaul::daemon
