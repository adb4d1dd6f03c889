// The summary of a run.
#include "daemon/cli/summary.hpp"

#include "daemon/cli/job_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <system_error>

namespace longhaul::daemon {
namespace {

// The smallest of the times that `fraction` of them do not exceed.
Json nearest_rank(std::vector<double> times, double fraction) {
  if (times.empty()) return nullptr;
  const auto rank =
      static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(times.size())));
  const auto place =
      times.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
  std::nth_element(times.begin(), place, times.end());
  return *place;
}

Json evaluations_json(const std::vector<wire::EvaluationReport>& reports) {
  Json list = Json::array();
  for (const auto& report : reports) {
    list.push_back({{"step", report.step()}, {"loss", report.loss()}, {"tokens", report.tokens()}});
  }
  return list;
}

Json checkpoints_json(const std::vector<wire::CheckpointReport>& reports) {
  Json list = Json::array();
  for (const auto& report : reports) {
    list.push_back({{"step", report.step()},
                    {"path", text_or_null(report.path())},
                    {"error", text_or_null(report.error())}});
  }
  return list;
}

proto::Error cannot_write(const std::filesystem::path& file, const std::string& why) {
  return {proto::ErrorKind::kResource,
          fmt::format("the summary cannot be written to {}: {}", file.string(), why)};
}

// False, and errno says why.
bool write_text(const std::filesystem::path& file, const std::string& text) {
  errno = 0;
  std::ofstream stream(file, std::ios::binary | std::ios::trunc);
  stream << text;
  stream.close();
  return !stream.fail();
}

}  // namespace

void Summary::on_event(const wire::JobEvent& event) {
  if (event.index() < next_index_) return;
  next_index_ = event.index() + 1;
  switch (event.event_case()) {
    case wire::JobEvent::kState:
      on_status(event.state());
      break;
    case wire::JobEvent::kStep:
      steps_.push_back(event.step());
      if (event.stages_size() > 0) *status_.mutable_stages() = event.stages();
      break;
    case wire::JobEvent::kEvaluation:
      evaluations_.push_back(event.evaluation());
      break;
    case wire::JobEvent::kCheckpoint:
      checkpoints_.push_back(event.checkpoint());
      break;
    case wire::JobEvent::kExported:
      if (event.exported().error().empty()) exported_to_ = event.exported().path();
      break;
    case wire::JobEvent::EVENT_NOT_SET:
      break;
  }
}

void Summary::on_status(const wire::JobStatus& status) { status_ = status; }

std::string Summary::to_json() const {
  Json losses = Json::array();
  std::vector<double> times;
  std::uint64_t tokens = 0;
  double seconds = 0.0;
  for (const wire::StepReport& step : steps_) {
    losses.push_back(step.loss());
    times.push_back(step.step_time_s());
    tokens += step.tokens();
    seconds += step.step_time_s();
  }
  Json summary;
  summary["job"] = status_.name();
  summary["id"] = status_.id();
  summary["state"] = job_state_name(status_.state());
  summary["failure"] = failure_json(status_);
  summary["first_step"] = steps_.empty() ? Json(nullptr) : Json(steps_.front().step());
  summary["steps"] = steps_.size();
  summary["losses"] = std::move(losses);
  summary["eval_loss"] = evaluations_.empty() ? Json(nullptr) : Json(evaluations_.back().loss());
  summary["eval_loss_dense"] = evaluations_.empty() || !evaluations_.back().has_dense_loss()
                                   ? Json(nullptr)
                                   : Json(evaluations_.back().dense_loss());
  summary["evaluations"] = evaluations_json(evaluations_);
  summary["tokens"] = tokens;
  summary["tokens_per_s"] = seconds > 0.0 ? Json(static_cast<double>(tokens) / seconds) : nullptr;
  summary["step_time_s"] = {{"median", nearest_rank(times, 0.5)},
                            {"p95", nearest_rank(times, 0.95)}};
  summary["step_times_s"] = times;
  summary["stages"] = stages_json(status_);
  summary["links"] = links_json(status_);
  summary["bytes_sent"] = total_bytes_sent(status_);
  summary["checkpoints"] = checkpoints_json(checkpoints_);
  summary["exported_to"] = text_or_null(exported_to_);
  return summary.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

proto::Result<void> Summary::write(const std::filesystem::path& file) const {
  std::error_code error;
  const auto status = std::filesystem::status(file, error);
  // A pipe or a terminal cannot be replaced.
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    if (!write_text(file, to_json())) return cannot_write(file, std::strerror(errno));
    return {};
  }
  std::filesystem::path temporary = file;
  temporary += ".part";
  std::string why;
  if (!write_text(temporary, to_json())) {
    why = std::strerror(errno);
  } else {
    std::filesystem::rename(temporary, file, error);
    if (!error) return {};
    why = error.message();
  }
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);
  return cannot_write(file, why);
}

}  // namespace longhaul::daemon
