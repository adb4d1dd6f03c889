// What a running job looks like: a live line with a bar, one line per step, or JSON.
#pragma once

#include "proto/control.pb.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

namespace longhaul::daemon {

enum class ProgressStyle {
  kLive,   // one line that is rewritten in place, for a terminal
  kLines,  // one line per step
  kJson,   // one JSON object per event and line
};

// The style for a file descriptor: kJson if asked for, kLive if it is a terminal that can move its
// cursor (TERM is set and not "dumb"), else kLines.
[[nodiscard]] ProgressStyle choose_progress_style(bool json, int file_descriptor);

// Columns of the terminal behind the descriptor; 80 if it does not say.
[[nodiscard]] std::size_t terminal_width(int file_descriptor);

// Shows the events of one job, in order. How it ended is for the program to say, once: the last
// state is not shown, save in JSON. Events that came already (a lower or equal index) are
// skipped, so that a watch may start over after a lost connection.
class Progress {
 public:
  struct Options {
    ProgressStyle style = ProgressStyle::kLines;
    // Takes whole updates, one call each, so that the terminal never shows half of one.
    std::function<void(std::string_view)> write;
    std::function<std::size_t()> width;  // of the terminal, asked before every update; kLive only
  };

  explicit Progress(Options options);

  void on_event(const wire::JobEvent& event);
  // A line of its own, above the live line; {"event": "note", "text": ...} in JSON.
  void note(std::string_view line);
  // Leaves the live line standing and ends it; nothing in the other styles. Safe to call twice.
  void finish();

 private:
  struct Pace {
    double seconds = 0.0;
    std::uint64_t tokens = 0;
  };

  void show(const wire::JobEvent& event);
  void show_json(const wire::JobEvent& event);
  void show_state(const wire::JobStatus& status);
  void show_changes(const wire::JobEvent& event);
  void show_step(std::uint64_t unix_ms);
  void observe(const wire::JobEvent& event);
  void print(std::string_view line);
  void redraw();
  [[nodiscard]] std::string live_line(std::size_t width) const;
  [[nodiscard]] std::string step_line() const;
  [[nodiscard]] double tokens_per_s() const;
  [[nodiscard]] double remaining_s() const;

  Options options_;
  std::uint64_t next_index_ = 0;
  wire::JobStatus status_;  // the latest told
  std::string job_;
  std::uint64_t steps_ = 0;
  std::uint64_t bytes_sent_ = 0;
  wire::StepReport last_;
  std::deque<Pace> recent_;  // the last steps, for the rate and the remaining time; oldest first
  std::uint64_t drawn_unix_ms_ = 0;
  bool live_ = false;   // the cursor stands in the live line
  bool stale_ = false;  // the live line shows an earlier step
};

}  // namespace longhaul::daemon
