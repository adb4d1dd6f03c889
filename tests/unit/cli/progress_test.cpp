// The live view: what is written, byte by byte, for each style.
#include "daemon/cli/progress.hpp"

#include "tests/unit/cli/job_events.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

using namespace longhaul;
using namespace longhaul::daemon;
using longhaul::tests::Events;
using longhaul::tests::job_status;

namespace {

// A progress view and what it wrote, one string per write.
struct View {
  explicit View(ProgressStyle style)
      : progress({.style = style,
                  .write = [this](std::string_view text) { writes.emplace_back(text); },
                  .width = [this] { return width; }}) {}

  [[nodiscard]] std::string text() const {
    std::string all;
    for (const std::string& write : writes) all += write;
    return all;
  }

  std::vector<std::string> writes;
  std::size_t width = 110;
  Progress progress;
};

// What a terminal of endless width shows after these bytes.
std::string screen(const std::string& bytes) {
  std::vector<std::string> lines{""};
  std::size_t column = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string& line = lines.back();
    if (bytes[i] == '\r') {
      column = 0;
    } else if (bytes[i] == '\n') {
      lines.emplace_back();
      column = 0;
    } else if (bytes.compare(i, 3, "\x1b[K") == 0) {
      line.resize(column);
      i += 2;
    } else {
      if (column < line.size()) {
        line[column] = bytes[i];
      } else {
        line += bytes[i];
      }
      ++column;
    }
  }
  std::string shown;
  for (const std::string& line : lines) shown += line + "|";
  return shown;
}

}  // namespace

TEST_CASE("progress: without a terminal, one line per step") {
  View view(ProgressStyle::kLines);
  Events events;
  view.progress.on_event(events.state(job_status(wire::PREPARING, 300)));
  view.progress.on_event(events.state(job_status(wire::TRAINING, 300)));
  view.progress.on_event(events.step(1));
  view.progress.on_event(events.step(2));
  view.progress.on_event(events.checkpoint(2, "/out/2", ""));
  view.progress.on_event(events.checkpoint(4, "", "no space\nleft"));
  view.progress.on_event(events.evaluation(300, 4.25));
  view.progress.on_event(events.exported("/model", ""));
  view.progress.on_event(events.exported("/model", "exists"));
  view.progress.note("a word");
  view.progress.on_event(events.state(job_status(wire::DONE, 300)));
  view.progress.finish();
  CHECK(view.text() == R"(sotu: preparing 2 stages on a, b
sotu: training 300 steps
step   1/300  loss 10.0000  lr 6.00e-04  16384 tokens/s  2:30 left  3.00 MB sent
step   2/300  loss 5.0000  lr 6.00e-04  16384 tokens/s  2:29 left  3.00 MB sent
step 2: checkpoint in /out/2
step 4: no checkpoint: no space?left
step 300: held-out loss 4.2500 on 4096 tokens
exported to /model
not exported: exists
a word
)");
}

TEST_CASE("progress: on a terminal, one line is rewritten in place") {
  View view(ProgressStyle::kLive);
  Events events;
  view.progress.on_event(events.state(job_status(wire::TRAINING, 4)));
  view.progress.on_event(events.step(1));
  view.progress.on_event(events.step(2));
  CHECK(screen(view.text()) ==
        "sotu: training 4 steps|"
        "sotu 2/4 [===============>               ]  loss 5.0000  lr 6.00e-04  16384 tokens/s  "
        "0:01 left  3.00 MB sent|");
  view.progress.on_event(events.evaluation(2, 4.25));
  view.progress.on_event(events.step(4));
  view.progress.on_event(events.state(job_status(wire::DONE, 4)));
  view.progress.finish();
  view.progress.finish();
  CHECK(screen(view.text()) ==
        "sotu: training 4 steps|"
        "step 2: held-out loss 4.2500 on 4096 tokens|"
        "sotu 4/4 [===============================]  loss 2.5000  lr 6.00e-04  16384 tokens/s  "
        "0:00 left  3.00 MB sent|"
        "|");
}

TEST_CASE("progress: every update of the live line is one write that erases nothing first") {
  View view(ProgressStyle::kLive);
  Events events;
  view.progress.on_event(events.state(job_status(wire::TRAINING, 100)));
  view.writes.clear();
  for (std::uint64_t step = 1; step <= 20; ++step) {
    view.progress.on_event(events.step(step));
    CHECK(view.writes.size() == step);
    CHECK(view.writes.back().starts_with("\rsotu "));
    CHECK(view.writes.back().ends_with("\x1b[K"));
    CHECK(view.writes.back().find('\n') == std::string::npos);
  }
}

TEST_CASE("progress: steps faster than the eye are shown at the next beat, the last one always") {
  View view(ProgressStyle::kLive);
  Events events;
  view.progress.on_event(events.state(job_status(wire::TRAINING, 50)));
  view.writes.clear();
  for (std::uint64_t step = 1; step <= 30; ++step) {
    wire::JobEvent event = events.step(step);
    event.set_unix_ms(2'000'000 + step * 10);
    view.progress.on_event(event);
  }
  CHECK(view.writes.size() == 6);  // every 50 ms of 300 ms
  view.progress.finish();
  CHECK(screen(view.text()).starts_with("sotu 30/50 ["));
  CHECK(screen(view.text()).ends_with("||"));
}

TEST_CASE("progress: the live line fits the terminal, whatever its width") {
  View view(ProgressStyle::kLive);
  Events events;
  view.progress.on_event(events.state(job_status(wire::TRAINING, 300)));
  for (std::size_t width = 1; width <= 200; ++width) {
    view.width = width;
    view.writes.clear();
    view.progress.on_event(events.step(width));
    const std::string shown = screen(view.text());
    CAPTURE(width);
    CHECK(shown.size() - 1 <= std::max<std::size_t>(width - 1, 1));
  }
  view.width = 60;
  view.writes.clear();
  view.progress.on_event(events.step(250));
  CHECK(screen(view.text()) == "sotu 250/300 [================>   ]  loss 0.0400  0:25 left|");
  view.width = 28;
  view.writes.clear();
  view.progress.on_event(events.step(300));
  CHECK(screen(view.text()) == "sotu 300/300  loss 0.0333|");
}

TEST_CASE("progress: with --json every line is an object, numbers that are none are null") {
  View view(ProgressStyle::kJson);
  Events events;
  wire::JobStatus failed = job_status(wire::FAILED, 3);
  failed.mutable_failure()->set_kind(wire::Failure::NUMERIC);
  failed.mutable_failure()->set_message("NaN");
  view.progress.on_event(events.state(job_status(wire::TRAINING, 3)));
  wire::JobEvent step = events.step(1);
  step.mutable_step()->set_loss(NAN);
  step.mutable_step()->set_step_time_s(0.0);
  view.progress.on_event(step);
  view.progress.on_event(events.step(2));
  view.progress.on_event(events.evaluation(2, 4.25));
  view.progress.on_event(events.checkpoint(2, "/out", ""));
  view.progress.on_event(events.exported("", "bad"));
  view.progress.note("x");
  view.progress.on_event(events.state(failed));
  view.progress.finish();
  std::vector<nlohmann::json> lines;
  for (const std::string& write : view.writes) {
    CHECK(write.ends_with('\n'));
    CHECK(std::count(write.begin(), write.end(), '\n') == 1);
    lines.push_back(nlohmann::json::parse(write));
  }
  REQUIRE(lines.size() == 8);
  CHECK(lines[0]["event"] == "state");
  CHECK(lines[0]["stages"].size() == 2);
  CHECK(lines[1]["loss"].is_null());
  CHECK(lines[1]["tokens_per_s"].is_null());
  CHECK(lines[2]["links"].size() == 2);
  CHECK(lines[2]["links"][0]["to_node"] == "b");
  lines[2].erase("links");
  CHECK(lines[2] == nlohmann::json::parse(R"({"event":"step","step":2,"steps":3,"loss":5.0,
      "gradient_norm":0.5,"learning_rate":6e-4,"step_time_s":0.5,"tokens":8192,
      "tokens_per_s":32768.0,"remaining_s":0.25,"bytes_sent":3000000,"unix_ms":1000200})"));
  CHECK(lines[3]["loss"] == 4.25);
  CHECK(lines[4]["path"] == "/out");
  CHECK(lines[4]["error"].is_null());
  CHECK(lines[5]["error"] == "bad");
  CHECK(lines[6] == nlohmann::json::parse(R"({"event":"note","text":"x"})"));
  CHECK(lines[7]["failure"] == nlohmann::json::parse(R"({"kind":"numeric","message":"NaN"})"));
}

TEST_CASE("progress: events that were shown already are not shown again") {
  View view(ProgressStyle::kLines);
  Events events;
  const wire::JobEvent state = events.state(job_status(wire::TRAINING, 3));
  const wire::JobEvent first = events.step(1);
  const wire::JobEvent second = events.step(2);
  for (const auto* event : {&state, &first, &state, &first, &second, &second}) {
    view.progress.on_event(*event);
  }
  CHECK(view.writes.size() == 3);
}

TEST_CASE("progress: a resumed job says where it goes on") {
  View view(ProgressStyle::kLines);
  Events events;
  wire::JobStatus status = job_status(wire::TRAINING, 300);
  status.set_step(50);
  view.progress.on_event(events.state(status));
  CHECK(view.text() == "sotu: training from step 51 to 300\n");
}

TEST_CASE("progress: text from elsewhere cannot steer the terminal") {
  View view(ProgressStyle::kLive);
  Events events;
  wire::JobStatus status = job_status(wire::TRAINING, 3);
  status.set_name("a\x1b[2Jb\nc");
  view.progress.on_event(events.state(status));
  CHECK(view.text() == "a?[2Jb?c: training 3 steps\n");
}

TEST_CASE("progress: the style follows the flag, the terminal and TERM") {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  CHECK(choose_progress_style(true, pipe_ends[1]) == ProgressStyle::kJson);
  CHECK(choose_progress_style(false, pipe_ends[1]) == ProgressStyle::kLines);
  CHECK(terminal_width(pipe_ends[1]) == 80);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  winsize size{};
  size.ws_col = 123;
  REQUIRE(ioctl(terminal, TIOCSWINSZ, &size) == 0);
  CHECK(terminal_width(terminal) == 123);
  const char* old = std::getenv("TERM");
  const std::string before = old == nullptr ? "" : old;
  setenv("TERM", "xterm", 1);
  CHECK(choose_progress_style(false, terminal) == ProgressStyle::kLive);
  setenv("TERM", "dumb", 1);
  CHECK(choose_progress_style(false, terminal) == ProgressStyle::kLines);
  if (old == nullptr) {
    unsetenv("TERM");
  } else {
    setenv("TERM", before.c_str(), 1);
  }
  close(terminal);
}
