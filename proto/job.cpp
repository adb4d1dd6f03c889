// The checks of a job that comes from elsewhere, section by section of the job file.
#include "proto/job.hpp"

#include "proto/assert.hpp"
#include "proto/compression_setting.hpp"
#include "proto/pipeline_schedule.hpp"
#include "proto/refused.hpp"
#include "proto/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <span>
#include <string>

namespace longhaul::proto {
namespace {

constexpr std::size_t kMaximumPathBytes = 4096;
constexpr std::size_t kMaximumJobNameBytes = 128;

struct Range {
  double low;
  double high;
  bool low_open = false;
  bool high_open = false;
};

// Also refuses NaN and infinity, which no range holds.
Result<void> in_range(std::string_view field, double value, Range range) {
  const bool inside = std::isfinite(value) &&
                      (range.low_open ? value > range.low : value >= range.low) &&
                      (range.high_open ? value < range.high : value <= range.high);
  if (inside) return {};
  if (std::isinf(range.high)) {
    return refused("{} is {}; it must be finite and {} {}", field, value,
                   range.low_open ? "over" : "at least", range.low);
  }
  return refused("{} is {}; it must lie in {}{}, {}{}", field, value, range.low_open ? '(' : '[',
                 range.low, range.high, range.high_open ? ')' : ']');
}

Result<void> count_in_range(std::string_view field, std::uint64_t value, std::uint64_t high) {
  if (value >= 1 && value <= high) return {};
  return refused("{} is {}; 1 to {} are allowed", field, value, high);
}

Result<void> one_of(std::string_view field, std::string_view value,
                    std::span<const std::string_view> known) {
  if (std::find(known.begin(), known.end(), value) != known.end()) return {};
  std::string list;
  for (std::size_t i = 0; i < known.size(); ++i) {
    const std::string_view before = i == 0 ? "" : i + 1 < known.size() ? ", " : " or ";
    list += fmt::format("{}'{}'", before, known[i]);
  }
  return refused("{} is {}; use {}", field, quoted(value), list);
}

Result<void> absolute_path(std::string_view field, std::string_view path) {
  if (path.empty()) return refused("{} is missing", field);
  if (path.size() > kMaximumPathBytes) {
    return refused("{} has {} bytes; at most {} are allowed", field, path.size(),
                   kMaximumPathBytes);
  }
  if (std::any_of(path.begin(), path.end(),
                  [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
    return refused("{} {} holds control characters", field, quoted(path));
  }
  if (path.front() != '/') return refused("{} {} is not an absolute path", field, quoted(path));
  return {};
}

Result<void> optional_path(std::string_view field, std::string_view path) {
  if (path.empty()) return {};
  return absolute_path(field, path);
}

// A job's name becomes part of file names.
Result<void> check_job_name(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  if (name.empty() || name.size() > kMaximumJobNameBytes || name.front() == '.' ||
      name.front() == '-' || !std::all_of(name.begin(), name.end(), allowed)) {
    return refused(
        "name is {}; use 1 to {} letters, digits, '-', '_' and '.', and neither '-' "
        "nor '.' first",
        quoted(name), kMaximumJobNameBytes);
  }
  return {};
}

Result<void> check_model(const wire::ModelSource& model) {
  switch (model.source_case()) {
    case wire::ModelSource::kConfig:
      return absolute_path("model.config", model.config());
    case wire::ModelSource::kFrom:
      return absolute_path("model.from", model.from());
    case wire::ModelSource::kGraph:
      return absolute_path("model.graph", model.graph());
    case wire::ModelSource::SOURCE_NOT_SET:
      break;
  }
  return refused("model is missing; give one of config, from and graph");
}

Result<void> check_train_files(const wire::DataSource& data) {
  if (data.train().empty()) return refused("data.train names no file");
  if (data.train_size() > kMaximumTrainFiles) {
    return refused("data.train names {} files; at most {} are allowed", data.train_size(),
                   kMaximumTrainFiles);
  }
  bool text = false;
  bool jsonl = false;
  bool tokenised = false;
  for (const std::string& path : data.train()) {
    if (auto absolute = absolute_path("data.train", path); !absolute) return absolute.error();
    const bool is_jsonl = path.ends_with(".jsonl");
    const bool is_tokenised = path.ends_with(".bin");
    if (!is_jsonl && !is_tokenised && !path.ends_with(".txt")) {
      return refused("data.train names {}; files end in .txt, .jsonl or .bin", quoted(path));
    }
    jsonl = jsonl || is_jsonl;
    tokenised = tokenised || is_tokenised;
    text = text || !is_tokenised;
  }
  if (jsonl && data.text_field().empty()) {
    return refused("data.text_field is missing; JSONL files need it");
  }
  if (tokenised && data.token_bits() != 16 && data.token_bits() != 32) {
    return refused("data.token_bits is {}; .bin files need 16 or 32", data.token_bits());
  }
  if (text) {
    if (auto path = absolute_path("data.tokenizer", data.tokenizer()); !path) {
      return path.error();
    }
    return absolute_path("data.cache", data.cache());
  }
  if (auto path = optional_path("data.tokenizer", data.tokenizer()); !path) return path.error();
  return optional_path("data.cache", data.cache());
}

Result<void> check_data(const wire::DataSource& data) {
  if (auto files = check_train_files(data); !files) return files.error();
  if (data.text_field().size() > kMaximumNameBytes) {
    return refused("data.text_field has {} bytes; at most {} are allowed", data.text_field().size(),
                   kMaximumNameBytes);
  }
  if (auto length =
          count_in_range("data.sequence_length", data.sequence_length(), kMaximumSequenceLength);
      !length) {
    return length.error();
  }
  if (auto part = in_range("data.holdout", data.holdout(), {0.0, 1.0, false, true}); !part) {
    return part.error();
  }
  if (data.nodes_size() > kMaximumDataNodes) {
    return refused("data.nodes names {} nodes; at most {} are allowed", data.nodes_size(),
                   kMaximumDataNodes);
  }
  std::set<std::string_view> seen;
  for (const std::string& node : data.nodes()) {
    if (auto named = check_name("data.nodes: node", node); !named) return named.error();
    if (!seen.insert(node).second) return refused("data.nodes names {} twice", quoted(node));
  }
  return {};
}

Result<void> check_optimizer(const wire::Optimizer& optimizer) {
  constexpr std::array<std::string_view, 1> kNames{"adamw"};
  if (auto known = one_of("training.optimizer.name", optimizer.name(), kNames); !known) {
    return known.error();
  }
  struct Field {
    std::string_view name;
    double value;
    Range range;
  };
  for (const Field& field : {
           Field{"learning_rate", optimizer.learning_rate(), {0.0, INFINITY, true}},
           Field{"weight_decay", optimizer.weight_decay(), {0.0, INFINITY}},
           Field{"betas[0]", optimizer.beta1(), {0.0, 1.0, false, true}},
           Field{"betas[1]", optimizer.beta2(), {0.0, 1.0, false, true}},
           Field{"epsilon", optimizer.epsilon(), {0.0, INFINITY, true}},
       }) {
    const std::string name = fmt::format("training.optimizer.{}", field.name);
    if (auto fits = in_range(name, field.value, field.range); !fits) return fits.error();
  }
  return {};
}

Result<void> check_batch(const wire::Training& training) {
  if (auto fits = count_in_range("training.batch", training.batch(), kMaximumBatch); !fits) {
    return fits.error();
  }
  if (auto fits = count_in_range("training.micro_batch", training.micro_batch(), kMaximumBatch);
      !fits) {
    return fits.error();
  }
  if (training.batch() % training.micro_batch() != 0) {
    return refused("training.micro_batch {} does not divide training.batch {}",
                   training.micro_batch(), training.batch());
  }
  if (training.batch() / training.micro_batch() > kMaximumMicroBatches) {
    return refused("training.batch {} makes {} micro-batches; at most {} are allowed",
                   training.batch(), training.batch() / training.micro_batch(),
                   kMaximumMicroBatches);
  }
  return {};
}

Result<void> check_training(const wire::Training& training) {
  if (auto fits = count_in_range("training.steps", training.steps(), kMaximumSteps); !fits) {
    return fits.error();
  }
  if (auto fits = check_batch(training); !fits) return fits.error();
  if (auto fits = check_optimizer(training.optimizer()); !fits) return fits.error();
  const wire::LearningRateSchedule& rate = training.schedule();
  if (rate.warmup_steps() > training.steps()) {
    return refused("training.schedule.warmup_steps {} exceeds training.steps {}",
                   rate.warmup_steps(), training.steps());
  }
  constexpr std::array<std::string_view, 2> kDecays{"cosine", "constant"};
  if (auto known = one_of("training.schedule.decay", rate.decay(), kDecays); !known) {
    return known.error();
  }
  if (auto fits = in_range("training.schedule.final", rate.final(), {0.0, 1.0}); !fits) {
    return fits.error();
  }
  if (auto fits = in_range("training.clip_norm", training.clip_norm(), {0.0, INFINITY}); !fits) {
    return fits.error();
  }
  if (auto fits = in_range("training.dropout", training.dropout(), {0.0, 1.0, false, true});
      !fits) {
    return fits.error();
  }
  constexpr std::array<std::string_view, 2> kPrecisions{"fp32", "bf16"};
  return one_of("training.precision", training.precision(), kPrecisions);
}

Result<void> check_output(const wire::Job& job) {
  const wire::Checkpoint& checkpoint = job.checkpoint();
  if (checkpoint.every() > 0) {
    if (auto path = absolute_path("checkpoint.directory", checkpoint.directory()); !path) {
      return path.error();
    }
    if (checkpoint.keep() < 1) return refused("checkpoint.keep is 0; keep at least 1");
  }
  if (auto path = optional_path("checkpoint.directory", checkpoint.directory()); !path) {
    return path.error();
  }
  if (auto path = optional_path("resume", job.resume()); !path) return path.error();
  return optional_path("export_directory", job.export_directory());
}

Result<void> check_job(const wire::Job& job) {
  if (auto named = check_job_name(job.name()); !named) return named.error();
  if (auto fits = check_model(job.model()); !fits) return fits.error();
  if (auto fits = check_data(job.data()); !fits) return fits.error();
  if (auto fits = check_training(job.training()); !fits) return fits.error();
  std::array<std::string_view, kScheduleKinds.size()> schedules;
  std::ranges::transform(kScheduleKinds, schedules.begin(), schedule_name);
  if (auto known = one_of("pipeline.schedule", job.pipeline().schedule(), schedules); !known) {
    return known.error();
  }
  if (job.pipeline().run_ahead() > kMaximumRunAhead) {
    return refused("pipeline.run_ahead must be at most {}, not {}", kMaximumRunAhead,
                   job.pipeline().run_ahead());
  }
  if (auto part = in_range("anneal", job.anneal(), {0.0, 1.0, false, true}); !part) {
    return part.error();
  }
  if (auto known = parse_compression(job.compression()); !known) return known.error();
  return check_output(job);
}

}  // namespace

std::string_view precision_name(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kBf16:
      return "bf16";
  }
  LONGHAUL_ASSERT(false);
}

std::optional<Precision> precision_kind(std::string_view name) {
  for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
    if (name == precision_name(precision)) return precision;
  }
  return std::nullopt;
}

std::int64_t activation_bytes(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return 4;
    case Precision::kBf16:
      return 2;
  }
  LONGHAUL_ASSERT(false);
}

Result<void> validate_job(const wire::Job& job) {
  auto checked = check_job(job);
  if (!checked) return with_context("job", checked.error());
  return checked;
}

}  // namespace longhaul::proto
