// Compares what the checkpoint says with what the job says.
#include "compnode/worker/resume_notes.hpp"

#include <fmt/format.h>

#include <map>
#include <sstream>

namespace longhaul::compnode {
namespace {

std::map<std::string, std::string> parse(const std::string& settings) {
  std::map<std::string, std::string> values;
  std::istringstream lines(settings);
  for (std::string line; std::getline(lines, line);) {
    const auto sign = line.find('=');
    if (sign != std::string::npos) values.emplace(line.substr(0, sign), line.substr(sign + 1));
  }
  return values;
}

}  // namespace

std::string settings_of(const wire::Job& job) {
  const wire::Training& training = job.training();
  const wire::Optimizer& optimizer = training.optimizer();
  const wire::LearningRateSchedule& schedule = training.schedule();
  std::string text;
  const auto add = [&](const char* name, const auto& value) {
    text += fmt::format("{}={}\n", name, value);
  };
  add("data.sequence_length", job.data().sequence_length());
  add("data.holdout", job.data().holdout());
  add("training.steps", training.steps());
  add("training.batch", training.batch());
  add("training.micro_batch", training.micro_batch());
  add("training.optimizer.name", optimizer.name());
  add("training.optimizer.learning_rate", optimizer.learning_rate());
  add("training.optimizer.weight_decay", optimizer.weight_decay());
  add("training.optimizer.betas", fmt::format("[{}, {}]", optimizer.beta1(), optimizer.beta2()));
  add("training.optimizer.epsilon", optimizer.epsilon());
  add("training.schedule.warmup_steps", schedule.warmup_steps());
  add("training.schedule.decay", schedule.decay());
  add("training.schedule.final", schedule.final());
  add("training.clip_norm", training.clip_norm());
  add("training.precision", training.precision());
  add("compression", job.compression());
  return text;
}

std::vector<std::string> resume_notes(const FoundCheckpoint& found, const wire::Job& job) {
  const Checkpoint& checkpoint = found.checkpoint.value();
  const std::string path = checkpoint.path().string();
  std::vector<std::string> notes;
  for (const SkippedStep& skipped : found.skipped) {
    notes.push_back(
        fmt::format("the checkpoint of step {} cannot be used: {}; continuing from {} instead",
                    skipped.step, skipped.reason, path));
  }
  const auto then = parse(checkpoint.info().settings);
  std::string changes;
  for (const auto& [name, value] : parse(settings_of(job))) {
    const auto before = then.find(name);
    if (before == then.end() || before->second == value) continue;  // an older version wrote less
    changes +=
        fmt::format("{}{} was {}, is {}", changes.empty() ? "" : "; ", name, before->second, value);
  }
  if (!changes.empty()) {
    notes.push_back(fmt::format("{} was made with other settings: {}", path, changes));
  }
  return notes;
}

}  // namespace longhaul::compnode
