// The keys of a job file, and what must hold between them.
#include "daemon/configuration/job_file.hpp"

#include "daemon/configuration/tables.hpp"
#include "proto/compression_setting.hpp"
#include "proto/pipeline_schedule.hpp"
#include "proto/job.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

namespace longhaul::daemon {
namespace {

using Must = Path::Must;

constexpr std::size_t kMaximumPins = 10'000;

const Table<wire::ModelSource>& model_table() {
  static const Table<wire::ModelSource> table{
      "Where the model comes from: exactly one of these",
      {{"config", Path{Must::kBeFile}, or_else("-"), &wire::ModelSource::mutable_config,
        "a Hugging Face `config.json`; the weights start from their initialisation"},
       {"from", Path{Must::kBeFolder}, or_else("-"), &wire::ModelSource::mutable_from,
        "a Hugging Face folder with `config.json` and weights in safetensors"},
       {"graph", Path{Must::kBeFile}, or_else("-"), &wire::ModelSource::mutable_graph,
        "an operator graph as Protobuf JSON; the weights start from their initialisation"}}};
  return table;
}

const Table<wire::DataSource>& data_table() {
  static const Table<wire::DataSource> table{
      "What the model learns from",
      {{"train", Files{{".txt", ".jsonl", ".bin"}}, required,
        [](wire::DataSource& data, const std::vector<std::string>& train) {
          data.mutable_train()->Assign(train.begin(), train.end());
        },
        "text files, JSON lines, or files of token numbers"},
       {"text_field", Text{}, otherwise("text"), &wire::DataSource::mutable_text_field,
        "the field of a JSON line that holds the text"},
       {"tokenizer", Path{Must::kBeFolder},
        or_else("`model.from`, if that has one; none for `.bin` files"),
        &wire::DataSource::mutable_tokenizer,
        "a folder with `tokenizer.json`, or with `vocab.json` and `merges.txt`"},
       {"token_bits", Choice<std::uint32_t>{{{"16", 16}, {"32", 32}}}, otherwise("16"),
        &wire::DataSource::set_token_bits,
        "the width of the numbers in `.bin` files (little-endian, unsigned)"},
       {"sequence_length", Integer{1, proto::kMaximumSequenceLength}, required,
        &wire::DataSource::set_sequence_length, "tokens in a sequence"},
       {"holdout", Real{0.0, 1.0, false, true}, otherwise("0"), &wire::DataSource::set_holdout,
        "the fraction of the sequences that is kept for evaluation and not trained on"},
       {"cache", Path{}, otherwise(".longhaul/cache"), &wire::DataSource::mutable_cache,
        "a folder for the tokenised text, made if it is missing"},
       {"nodes", ListOf<Text>{kName, 0, proto::kMaximumDataNodes, "a list of nodes"},
        otherwise("[]"),
        [](wire::DataSource& data, const std::vector<std::string>& nodes) {
          data.mutable_nodes()->Assign(nodes.begin(), nodes.end());
        },
        "the nodes that hold the data; tokens stay there. Empty: every node does"}}};
  return table;
}

const Table<wire::Optimizer>& optimizer_table() {
  static const Table<wire::Optimizer> table{
      "How gradients become steps",
      {{"name", Word{{"adamw"}}, otherwise("adamw"), &wire::Optimizer::mutable_name,
        "AdamW with decoupled weight decay"},
       {"learning_rate", Real{.above_minimum = true}, otherwise("6.0e-4"),
        &wire::Optimizer::set_learning_rate, "the peak, after the warm-up"},
       {"weight_decay", Real{}, otherwise("0.1"), &wire::Optimizer::set_weight_decay,
        "applies to matrices, not to biases and norms"},
       {"betas", ListOf<Real>{{0.0, 1.0, false, true}, 2, 2, "two numbers"},
        otherwise("[0.9, 0.95]"),
        [](wire::Optimizer& optimizer, const std::vector<double>& betas) {
          optimizer.set_beta1(betas[0]);
          optimizer.set_beta2(betas[1]);
        },
        "decay of the running means of gradient and squared gradient"},
       {"epsilon", Real{.above_minimum = true}, otherwise("1.0e-8"), &wire::Optimizer::set_epsilon,
        "added to the root of the squared gradient's mean"}}};
  return table;
}

const Table<wire::LearningRateSchedule>& schedule_table() {
  static const Table<wire::LearningRateSchedule> table{
      "The learning rate over the steps",
      {{"warmup_steps", Integer{0, proto::kMaximumSteps}, otherwise("0"),
        &wire::LearningRateSchedule::set_warmup_steps, "steps of linear growth to the peak"},
       {"decay", Word{{"cosine", "constant"}}, otherwise("cosine"),
        &wire::LearningRateSchedule::mutable_decay, "what follows the warm-up"},
       {"final", Real{0.0, 1.0}, otherwise("0.1"), &wire::LearningRateSchedule::set_final,
        "the last step's learning rate as a fraction of the peak"}}};
  return table;
}

const Table<wire::Training>& training_table() {
  static const Table<wire::Training> table{
      "How the model learns",
      {{"steps", Integer{1, proto::kMaximumSteps}, required, &wire::Training::set_steps,
        "optimizer steps"},
       {"batch", Integer{1, proto::kMaximumBatch}, required, &wire::Training::set_batch,
        "sequences in a step"},
       {"micro_batch", Integer{1, proto::kMaximumBatch}, or_else("`batch`"),
        &wire::Training::set_micro_batch,
        "sequences in a micro-batch, the unit that flows through the pipeline; divides `batch`"},
       {"optimizer", optimizer_table(), or_else("its defaults"), &wire::Training::mutable_optimizer,
        "the optimizer and its settings"},
       {"schedule", schedule_table(), or_else("its defaults"), &wire::Training::mutable_schedule,
        "the learning rate's schedule"},
       {"clip_norm", Real{}, otherwise("1.0"), &wire::Training::set_clip_norm,
        "the norm that all gradients together are scaled down to; 0: no clipping"},
       {"dropout", Real{0.0, 1.0, false, true}, or_else("the rates of the model's own file"),
        &wire::Training::set_dropout, "the rate of every dropout in the model"},
       {"precision", Word{{"fp32", "bf16"}}, otherwise("fp32"), &wire::Training::mutable_precision,
        "`bf16` computes in bfloat16 and keeps fp32 master weights"},
       {"seed", Integer{}, otherwise("1"), &wire::Training::set_seed,
        "of initialisation, order of the data and dropout"}}};
  return table;
}

const Table<wire::Evaluation>& evaluation_table() {
  static const Table<wire::Evaluation> table{
      "Loss on the held-out sequences",
      {{"every", Integer{0, proto::kMaximumSteps}, otherwise("0"), &wire::Evaluation::set_every,
        "steps between evaluations; 0: only at the end"},
       {"sequences", Integer{}, otherwise("0"), &wire::Evaluation::set_sequences,
        "how many held-out sequences to use; 0: all"}}};
  return table;
}

const Table<wire::Checkpoint>& checkpoint_table() {
  static const Table<wire::Checkpoint> table{
      "Checkpoints, from which `run --resume` continues",
      {{"every", Integer{0, proto::kMaximumSteps}, otherwise("0"), &wire::Checkpoint::set_every,
        "steps between checkpoints; 0: none"},
       {"directory", Path{}, or_else("`checkpoints/NAME` beside the job file"),
        &wire::Checkpoint::mutable_directory, "the folder they go to, made if it is missing"},
       {"keep", Integer{1, 1'000'000}, otherwise("2"), &wire::Checkpoint::set_keep,
        "how many complete ones to keep"}}};
  return table;
}

const Table<wire::Pipeline>& pipeline_table() {
  static const Table<wire::Pipeline> table{
      "How micro-batches flow",
      {{"schedule", Word{{"1f1b", "gpipe", "zero-bubble"}}, otherwise("1f1b"),
        &wire::Pipeline::mutable_schedule,
        "`1f1b` bounds activation memory by the number of stages; `gpipe` runs all forwards "
        "first; `zero-bubble` is 1f1b with late weight gradients that fill the end of the step, "
        "with about the first stage's activation memory on every stage"},
       {"run_ahead", Integer{0, proto::kMaximumRunAhead}, otherwise("0"),
        &wire::Pipeline::set_run_ahead,
        "`1f1b` and `zero-bubble`: how many more micro-batches a stage may have in flight for each "
        "later one. A round trip and two transfers divided by the time per micro-batch hide them; "
        "each costs the activations of one micro-batch"}}};
  return table;
}

// What stands before and after the first '='.
std::pair<std::string, std::string> pin_of(const std::string& text) {
  const std::size_t equals = text.find('=');
  return {text.substr(0, equals), text.substr(equals + 1)};
}

bool is_pin(std::string_view text) {
  const std::size_t equals = text.find('=');
  return equals != std::string_view::npos && equals > 0 && is_name(text.substr(equals + 1));
}

const Table<wire::Placement>& placement_table() {
  static const Table<wire::Placement> table{
      "What planners must keep to",
      {{"pin", ListOf<Text>{Text{"OPERATOR=NODE", is_pin}, 0, kMaximumPins, "a list of pins"},
        otherwise("[]"),
        [](wire::Placement& placement, const std::vector<std::string>& pins) {
          for (const std::string& text : pins) {
            auto [op, node] = pin_of(text);
            wire::Pin& pin = *placement.add_pins();
            pin.set_operator_id(std::move(op));
            pin.set_node(std::move(node));
          }
        },
        "operators and the nodes that must have them"},
       {"exclude", ListOf<Text>{kName, 0, kMaximumPins, "a list of nodes"}, otherwise("[]"),
        [](wire::Placement& placement, const std::vector<std::string>& nodes) {
          placement.mutable_exclude()->Assign(nodes.begin(), nodes.end());
        },
        "nodes that get no stage"},
       {"data_stays", Choice<bool>{{{"true", true}, {"false", false}}}, otherwise("false"),
        &wire::Placement::set_data_stays,
        "whether what reads data must be at a site of a node that has it"}}};
  return table;
}

void check_model(Reading& reading, const wire::Job& job) {
  if (!reading.is_good("model")) return;
  const int given = static_cast<int>(reading.has("model.config")) +
                    static_cast<int>(reading.has("model.from")) +
                    static_cast<int>(reading.has("model.graph"));
  if (given != 1) {
    reading.error_at("model", "model must have exactly one of config, from and graph");
  } else if (job.model().has_from() &&
             !std::filesystem::is_regular_file(job.model().from() + "/config.json")) {
    reading.error_at("model.from", fmt::format("{} has no config.json", job.model().from()));
  }
}

bool has_tokenizer(const std::filesystem::path& folder) {
  const auto has = [&](const char* name) {
    return std::filesystem::is_regular_file(folder / name);
  };
  return has("tokenizer.json") || (has("vocab.json") && has("merges.txt"));
}

void check_tokenizer(Reading& reading, wire::Job& job) {
  wire::DataSource& data = *job.mutable_data();
  if (!reading.is_good("data.train") || !reading.is_good("data.tokenizer")) return;
  const auto is_text = [](const std::string& file) { return !file.ends_with(".bin"); };
  const auto text = std::find_if(data.train().begin(), data.train().end(), is_text);
  if (data.tokenizer().empty() && text != data.train().end()) {
    if (job.model().has_from() && has_tokenizer(job.model().from())) {
      data.set_tokenizer(job.model().from());
    } else {
      reading.error_at("data", fmt::format("missing key 'data.tokenizer': {} is text", *text));
    }
  } else if (!data.tokenizer().empty() && !has_tokenizer(data.tokenizer())) {
    reading.error_at("data.tokenizer",
                     fmt::format("{} has neither tokenizer.json nor vocab.json and merges.txt",
                                 data.tokenizer()));
  }
}

void check_training(Reading& reading, wire::Training& training) {
  if (!reading.has("training.micro_batch")) training.set_micro_batch(training.batch());
  if (reading.is_good("training.batch") && reading.is_good("training.micro_batch") &&
      training.micro_batch() != 0 && training.batch() % training.micro_batch() != 0) {
    reading.error_at("training.micro_batch",
                     fmt::format("training.micro_batch must divide training.batch, but {} does "
                                 "not divide {}",
                                 training.micro_batch(), training.batch()));
  } else if (reading.is_good("training.batch") && training.micro_batch() != 0 &&
             training.batch() / training.micro_batch() > proto::kMaximumMicroBatches) {
    reading.error_at(
        "training.micro_batch",
        fmt::format("training.batch makes {} micro-batches, more than {}; raise "
                    "training.micro_batch",
                    training.batch() / training.micro_batch(), proto::kMaximumMicroBatches));
  }
  if (reading.is_good("training.steps") && reading.is_good("training.schedule") &&
      training.schedule().warmup_steps() > training.steps()) {
    reading.error_at(
        "training.schedule.warmup_steps",
        fmt::format("training.schedule.warmup_steps must be at most training.steps, {}, "
                    "not {}",
                    training.steps(), training.schedule().warmup_steps()));
  }
}

void check_nodes(Reading& reading, const wire::DataSource& data) {
  for (int i = 0; reading.is_good("data.nodes") && i < data.nodes_size(); ++i) {
    const auto& nodes = data.nodes();
    if (std::find(nodes.begin(), nodes.begin() + i, nodes[i]) != nodes.begin() + i) {
      reading.error_at(fmt::format("data.nodes[{}]", i),
                       fmt::format("data.nodes names {} twice", proto::quoted(nodes[i])));
    }
  }
}

void check_placement(Reading& reading, const wire::Placement& placement) {
  if (!reading.is_good("placement")) return;
  std::map<std::string, std::string> nodes;
  for (int i = 0; i < placement.pins_size(); ++i) {
    const wire::Pin& pin = placement.pins(i);
    const std::string path = fmt::format("placement.pin[{}]", i);
    const auto [known, fresh] = nodes.emplace(pin.operator_id(), pin.node());
    if (!fresh && known->second != pin.node()) {
      reading.error_at(
          path, fmt::format("{} pins operator {} to {}, and it is pinned to {} already; pin it to "
                            "one node",
                            path, proto::quoted(pin.operator_id()), proto::quoted(pin.node()),
                            proto::quoted(known->second)));
    }
    if (std::ranges::find(placement.exclude(), pin.node()) != placement.exclude().end()) {
      reading.error_at(
          path, fmt::format("{} pins operator {} to {}, which placement.exclude "
                            "excludes",
                            path, proto::quoted(pin.operator_id()), proto::quoted(pin.node())));
    }
  }
}

bool is_compression(std::string_view text) { return proto::parse_compression(text).has_value(); }

void check_job(Reading& reading, wire::Job& job) {
  if (!reading.has("name")) {
    // The file's name is the job's, as far as it can be one.
    const std::string stem = std::filesystem::path(reading.file()).stem().string();
    job.set_name(is_name(stem) ? stem : "job");
  }
  check_model(reading, job);
  check_tokenizer(reading, job);
  check_nodes(reading, job.data());
  check_placement(reading, job.placement());
  check_training(reading, *job.mutable_training());
  if (reading.is_good("data.holdout") && reading.is_good("evaluation.every") &&
      job.evaluation().every() > 0 && job.data().holdout() == 0.0) {
    reading.error_at("evaluation.every",
                     "evaluation.every needs held-out sequences; set data.holdout");
  }
  if (job.checkpoint().directory().empty()) {
    job.mutable_checkpoint()->set_directory(reading.resolve("checkpoints/" + job.name()).string());
  }
  // The peers' own check has the last word: what it refuses must not leave here.
  if (reading.failed()) return;
  if (const auto valid = proto::validate_job(job); !valid) {
    reading.error_at("", valid.error().message);
  }
}

}  // namespace

const Table<wire::Job>& job_table() {
  static const Table<wire::Job> table{
      "Job file",
      {{"name", kName, or_else("the file's name"), &wire::Job::mutable_name, "the job's name"},
       {"model", model_table(), required, &wire::Job::mutable_model, "what is trained"},
       {"data", data_table(), required, &wire::Job::mutable_data, "what it learns from"},
       {"training", training_table(), required, &wire::Job::mutable_training, "how it learns"},
       {"pipeline", pipeline_table(), or_else("its defaults"), &wire::Job::mutable_pipeline,
        "how micro-batches flow through the stages"},
       {"placement", placement_table(), or_else("planners are free"), &wire::Job::mutable_placement,
        "what planners must keep to"},
       {"compression",
        Text{"adaptive, dense, fixed(RUNG), uniform-topk(RATIO) or adatopk(RATIO)", is_compression},
        otherwise("dense"), &wire::Job::mutable_compression,
        "what links carry: `dense` tensors; with `adaptive` the mildest rung of "
        "`compression/format.md` that each link hides behind computation, always measured, and "
        "with "
        "`adaptive(distortion=X)` a relative squared error of at most X; one rung; one entry in "
        "RATIO; or FusionLLM's division of RATIO over the links"},
       {"anneal", Real{0.0, 1.0, false, true}, otherwise("0"), &wire::Job::set_anneal,
        "the last fraction of the steps, over which `adaptive` links go back to dense"},
       {"evaluation", evaluation_table(), or_else("its defaults"), &wire::Job::mutable_evaluation,
        "when to measure the held-out loss"},
       {"checkpoint", checkpoint_table(), or_else("its defaults"), &wire::Job::mutable_checkpoint,
        "when to keep the state"},
       {"export", Path{}, or_else("no export"), &wire::Job::mutable_export_directory,
        "the folder that the trained model goes to as a Hugging Face folder"}}};
  return table;
}

Checked<wire::Job> load_job(const std::filesystem::path& file) {
  return load_file<wire::Job>(file, job_table(), check_job);
}

}  // namespace longhaul::daemon
