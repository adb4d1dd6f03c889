// The live view of one job.
#include "daemon/cli/progress.hpp"

#include "daemon/cli/format.hpp"
#include "daemon/cli/job_json.hpp"
#include "daemon/configuration/printable.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <set>
#include <utility>
#include <vector>

namespace longhaul::daemon {
namespace {

constexpr std::size_t kRecentSteps = 32;
constexpr std::uint64_t kRedrawIntervalMs = 50;
constexpr std::size_t kNarrowestBar = 8;
constexpr std::size_t kWidestBar = 40;
constexpr std::size_t kLongestNote = 2000;
constexpr std::string_view kToLineStart = "\r";
constexpr std::string_view kClearToLineEnd = "\x1b[K";

std::string bar(double fraction, std::size_t width) {
  const auto filled =
      std::min(width, static_cast<std::size_t>(fraction * static_cast<double>(width)));
  std::string text(filled, '=');
  if (filled < width) text += '>';
  text.resize(width, ' ');
  return "[" + text + "]";
}

Json finite_or_null(double number) {
  return number < std::numeric_limits<double>::infinity() ? Json(number) : Json(nullptr);
}

Json state_json(const wire::JobStatus& status) {
  return {{"event", "state"},
          {"state", job_state_name(status.state())},
          {"job", status.name()},
          {"id", status.id()},
          {"step", status.step()},
          {"steps", status.steps()},
          {"failure", failure_json(status)},
          {"stages", stages_json(status)},
          {"links", links_json(status)},
          {"exported_to", text_or_null(status.exported_to())}};
}

std::string nodes_of(const wire::Plan& plan) {
  std::vector<std::string> names;
  for (const wire::Stage& stage : plan.stages()) names.push_back(printable(stage.node()));
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

ProgressStyle choose_progress_style(bool json, int file_descriptor) {
  if (json) return ProgressStyle::kJson;
  const char* term = std::getenv("TERM");
  const bool moves = term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
  return moves && isatty(file_descriptor) == 1 ? ProgressStyle::kLive : ProgressStyle::kLines;
}

std::size_t terminal_width(int file_descriptor) {
  winsize size{};
  if (ioctl(file_descriptor, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

Progress::Progress(Options options) : options_(std::move(options)) {}

void Progress::on_event(const wire::JobEvent& event) {
  if (event.index() < next_index_) return;
  next_index_ = event.index() + 1;
  observe(event);
  if (options_.style == ProgressStyle::kJson) {
    show_json(event);
  } else {
    show(event);
  }
}

void Progress::observe(const wire::JobEvent& event) {
  if (event.has_state()) {
    status_ = event.state();
    job_ = printable(event.state().name());
    steps_ = event.state().steps();
  } else if (event.has_step()) {
    last_ = event.step();
    bytes_sent_ = event.bytes_sent();
    recent_.push_back({last_.step_time_s(), last_.tokens()});
    if (recent_.size() > kRecentSteps) recent_.pop_front();
  }
}

double Progress::tokens_per_s() const {
  Pace sum;
  for (const Pace& step : recent_) {
    sum.seconds += step.seconds;
    sum.tokens += step.tokens;
  }
  return static_cast<double>(sum.tokens) / sum.seconds;
}

double Progress::remaining_s() const {
  double seconds = 0.0;
  for (const Pace& step : recent_) seconds += step.seconds;
  const std::uint64_t left = steps_ > last_.step() ? steps_ - last_.step() : 0;
  return seconds / static_cast<double>(recent_.size()) * static_cast<double>(left);
}

void Progress::show(const wire::JobEvent& event) {
  switch (event.event_case()) {
    case wire::JobEvent::kState:
      show_state(event.state());
      break;
    case wire::JobEvent::kStep:
      show_changes(event);
      show_step(event.unix_ms());
      break;
    case wire::JobEvent::kEvaluation:
      note(fmt::format(
          "step {}: held-out loss {}{} on {} tokens", event.evaluation().step(),
          format_loss(event.evaluation().loss()),
          event.evaluation().has_dense_loss()
              ? fmt::format(" ({} with dense links)", format_loss(event.evaluation().dense_loss()))
              : "",
          event.evaluation().tokens()));
      break;
    case wire::JobEvent::kCheckpoint: {
      const wire::CheckpointReport& report = event.checkpoint();
      note(fmt::format("step {}: {}{}", report.step(),
                       report.error().empty() ? "checkpoint in " : "no checkpoint: ",
                       report.error().empty() ? report.path() : report.error()));
      break;
    }
    case wire::JobEvent::kExported:
      note(event.exported().error().empty() ? "exported to " + event.exported().path()
                                            : "not exported: " + event.exported().error());
      break;
    case wire::JobEvent::EVENT_NOT_SET:
      break;
  }
}

void Progress::show_state(const wire::JobStatus& status) {
  switch (status.state()) {
    case wire::PREPARING:
      note(fmt::format("{}: preparing {} on {}", job_,
                       status.plan().stages_size() == 1
                           ? std::string("one stage")
                           : fmt::format("{} stages", status.plan().stages_size()),
                       nodes_of(status.plan())));
      break;
    case wire::TRAINING:
      note(status.step() == 0 ? fmt::format("{}: training {} step{}", job_, status.steps(),
                                            status.steps() == 1 ? "" : "s")
                              : fmt::format("{}: training from step {} to {}", job_,
                                            status.step() + 1, status.steps()));
      break;
    case wire::DONE:
    case wire::FAILED:
    case wire::CANCELLED:
      finish();
      break;
    case wire::JOB_UNSPECIFIED:
    case wire::JobState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case wire::JobState_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
}

void Progress::show_changes(const wire::JobEvent& event) {
  for (const wire::StageReport& stage : event.stages()) {
    for (const wire::LinkReport& link : stage.links()) {
      if (link.last_change_step() != event.step().step() || link.last_change().empty()) continue;
      note(change_line(status_, link));
    }
  }
}

void Progress::show_step(std::uint64_t unix_ms) {
  if (options_.style == ProgressStyle::kLines) {
    print(step_line());
    return;
  }
  stale_ = true;
  // Faster than the eye can follow is only flicker.
  const bool soon = unix_ms >= drawn_unix_ms_ && unix_ms < drawn_unix_ms_ + kRedrawIntervalMs;
  if (live_ && soon && last_.step() < steps_) return;
  drawn_unix_ms_ = unix_ms;
  redraw();
}

void Progress::show_json(const wire::JobEvent& event) {
  Json json;
  switch (event.event_case()) {
    case wire::JobEvent::kState:
      json = state_json(event.state());
      break;
    case wire::JobEvent::kStep:
      json = {{"event", "step"},
              {"step", last_.step()},
              {"steps", steps_},
              {"loss", last_.loss()},
              {"gradient_norm", last_.gradient_norm()},
              {"learning_rate", last_.learning_rate()},
              {"step_time_s", last_.step_time_s()},
              {"tokens", last_.tokens()},
              {"tokens_per_s", finite_or_null(tokens_per_s())},
              {"remaining_s", finite_or_null(remaining_s())},
              {"bytes_sent", bytes_sent_}};
      if (event.stages_size() > 1) {
        *status_.mutable_stages() = event.stages();
        json["links"] = links_json(status_);
      }
      break;
    case wire::JobEvent::kEvaluation:
      json = {
          {"event", "evaluation"},
          {"step", event.evaluation().step()},
          {"loss", event.evaluation().loss()},
          {"dense_loss", event.evaluation().has_dense_loss() ? Json(event.evaluation().dense_loss())
                                                             : Json(nullptr)},
          {"tokens", event.evaluation().tokens()}};
      break;
    case wire::JobEvent::kCheckpoint:
      json = {{"event", "checkpoint"},
              {"step", event.checkpoint().step()},
              {"path", text_or_null(event.checkpoint().path())},
              {"error", text_or_null(event.checkpoint().error())}};
      break;
    case wire::JobEvent::kExported:
      json = {{"event", "exported"},
              {"path", text_or_null(event.exported().path())},
              {"error", text_or_null(event.exported().error())}};
      break;
    case wire::JobEvent::EVENT_NOT_SET:
      return;
  }
  json["unix_ms"] = event.unix_ms();
  print(to_line(json));
}

void Progress::note(std::string_view line) {
  if (options_.style == ProgressStyle::kJson) {
    print(to_line({{"event", "note"}, {"text", std::string(line)}}));
  } else {
    print(printable(line, kLongestNote));
  }
}

// The line takes the live line's place, which moves down; one write, so that nothing flickers.
void Progress::print(std::string_view line) {
  std::string text;
  if (live_) text += kToLineStart;
  text += line;
  if (live_) text += kClearToLineEnd;
  text += '\n';
  if (live_) {
    text += live_line(options_.width());
    stale_ = false;
  }
  options_.write(text);
}

void Progress::redraw() {
  std::string text(kToLineStart);
  text += live_line(options_.width());
  text += kClearToLineEnd;
  options_.write(text);
  live_ = true;
  stale_ = false;
}

void Progress::finish() {
  if (!live_) return;
  if (stale_) redraw();
  live_ = false;
  options_.write("\n");
}

std::string Progress::step_line() const {
  const std::string steps = fmt::format("{}", steps_);
  return fmt::format("step {:>{}}/{}  loss {}  lr {}  {} tokens/s  {} left  {} sent", last_.step(),
                     steps.size(), steps, format_loss(last_.loss()),
                     format_learning_rate(last_.learning_rate()), format_rate(tokens_per_s()),
                     format_duration(remaining_s()), format_bytes(bytes_sent_));
}

// Step and loss always; the others as far as they fit, in the order of their worth; the bar takes
// what is left. The last column stays free, since writing to it makes some terminals wrap.
std::string Progress::live_line(std::size_t width) const {
  const std::size_t columns = width > 1 ? width - 1 : 1;
  const std::string head = fmt::format("{} {}/{}", job_, last_.step(), steps_);
  struct Field {
    std::string text;
    int worth = 0;  // the lowest goes first
  };
  std::vector<Field> fields{{"loss " + format_loss(last_.loss()), 5},
                            {"lr " + format_learning_rate(last_.learning_rate()), 1},
                            {format_rate(tokens_per_s()) + " tokens/s", 3},
                            {format_duration(remaining_s()) + " left", 4},
                            {format_bytes(bytes_sent_) + " sent", 2}};
  const auto used = [&] {
    std::size_t sum = head.size() + 1 + kNarrowestBar + 2;
    for (const Field& field : fields) sum += 2 + field.text.size();
    return sum;
  };
  while (fields.size() > 1 && used() > columns) {
    fields.erase(std::min_element(fields.begin(), fields.end(), [](const Field& a, const Field& b) {
      return a.worth < b.worth;
    }));
  }
  std::string line = head;
  if (used() <= columns) {
    const double fraction =
        steps_ == 0 ? 0.0 : static_cast<double>(last_.step()) / static_cast<double>(steps_);
    line += ' ' + bar(fraction, std::min(kWidestBar, kNarrowestBar + columns - used()));
  }
  for (const Field& field : fields) line += "  " + field.text;
  line.resize(std::min(line.size(), columns));
  return line;
}

}  // namespace longhaul::daemon
