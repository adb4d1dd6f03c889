// `longhaul probe`, `generate` and `data`: questions that longhaul-worker answers with LibTorch.
#include "daemon/cli/format.hpp"
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/submission.hpp"
#include "daemon/cli/programs/worker_program.hpp"
#include "daemon/configuration/job_file.hpp"
#include "daemon/configuration/model_source.hpp"
#include "daemon/host/machine.hpp"
#include "daemon/planning/profile_request.hpp"
#include "proto/profile.pb.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

namespace longhaul::daemon {

namespace {

using Json = nlohmann::ordered_json;

struct WorkerOptions {
  bool json = false;
  bool quick = false;
  std::filesystem::path model;
  double temperature = 0.8;
  std::string prompt;
  std::uint32_t tokens = 100;
  std::uint32_t top_k = 50;
  std::uint64_t seed = 1;
  std::filesystem::path profile;
  std::string device = "cpu";
  std::uint32_t threads = 1;
  double seconds = 2.0;
  std::filesystem::path out;
  SubmissionOptions submission;
  std::string split = "holdout";
  std::filesystem::path to;
};

// The worker's answer to one command, as JSON; prints what went wrong.
std::optional<Json> ask_worker(const CommandLine& line, const std::vector<std::string>& arguments,
                               const std::string& input, int& code) {
  const auto worker = find_worker(line.worker);
  if (!worker) {
    code = fail(kLonghaul, worker.error());
    return std::nullopt;
  }
  const auto answer = run_worker(*worker, arguments, input);
  if (!answer) {
    code = fail(kLonghaul, answer.error());
    return std::nullopt;
  }
  Json json = Json::parse(*answer, nullptr, false);
  if (json.is_discarded()) {
    code = fail(kLonghaul, {proto::ErrorKind::kInternal,
                            "longhaul-worker does not answer in JSON: is it of this version?"});
    return std::nullopt;
  }
  return json;
}

std::string plain(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

int profile(const CommandLine& line, const WorkerOptions& options) {
  const auto job = load_job(options.profile);
  if (!job) {
    std::cerr << to_string(job.error()) << '\n';
    return kUsage;
  }
  auto graphs = build_profile_graphs(*job);
  if (!graphs) return fail(kLonghaul, graphs.error());
  wire::ProfileRequest request = profile_request(*job);
  request.set_device(options.device);
  request.set_threads(options.threads);
  request.set_seconds(options.seconds);
  for (wire::Graph& graph : *graphs) *request.add_graphs() = std::move(graph);
  int code = kDone;
  const auto answer = ask_worker(line, {"profile"}, request.SerializeAsString(), code);
  if (!answer) return code;
  if (options.out.empty()) {
    std::cout << answer->dump(options.json ? -1 : 1) << '\n';
    return kDone;
  }
  std::ofstream file(options.out);
  file << answer->dump(1) << '\n';
  if (!file.flush()) {
    return fail(kLonghaul, {proto::ErrorKind::kResource,
                            fmt::format("{}: cannot be written", options.out.string())});
  }
  return kDone;
}

int probe(const CommandLine& line, const WorkerOptions& options) {
  if (!options.profile.empty()) return profile(line, options);
  std::vector<std::string> arguments{"probe"};
  if (options.quick) arguments.push_back("--quick");
  int code = kDone;
  const auto answer = ask_worker(line, arguments, {}, code);
  if (!answer) return code;
  if (options.json) {
    std::cout << answer->dump() << '\n';
    return kDone;
  }
  const Json& cpu = answer->at("cpu");
  std::cout << fmt::format("LibTorch  {}\n", plain(answer->at("torch")));
  if (answer->contains("blas")) {
    std::cout << fmt::format("BLAS      {}\n", plain(answer->at("blas").at("name")));
  }
  std::cout << fmt::format("cpu       {}, {} threads, {}", plain(cpu.at("description")),
                           plain(cpu.at("threads")),
                           format_bytes(cpu.at("memory_bytes").get<std::uint64_t>()));
  if (cpu.contains("fp32_gflops")) {
    std::cout << fmt::format(", {:.0f} GFLOP/s in fp32, {:.0f} in bf16",
                             cpu.at("fp32_gflops").get<double>(),
                             cpu.at("bf16_gflops").get<double>());
  }
  std::cout << '\n';
  for (const Json& device : answer->at("cuda")) {
    std::cout << fmt::format("{:<9} {}, {}\n", plain(device.at("name")),
                             plain(device.at("description")),
                             format_bytes(device.at("memory_bytes").get<std::uint64_t>()));
  }
  if (answer->contains("warning")) {
    std::cerr << fmt::format("longhaul: warning: {}\n", plain(answer->at("warning")));
  }
  return kDone;
}

int generate(const CommandLine& line, const WorkerOptions& options) {
  wire::Job job;
  job.mutable_model()->set_from(std::filesystem::absolute(options.model).string());
  job.mutable_training()->set_micro_batch(1);
  job.mutable_data()->set_sequence_length(1);
  auto graph = build_graph(job);
  if (!graph) return fail(kLonghaul, graph.error());
  wire::GenerateRequest request;
  *request.mutable_graph() = std::move(*graph);
  request.set_folder(job.model().from());
  request.set_prompt(options.prompt);
  request.set_tokens(options.tokens);
  request.set_temperature(options.temperature);
  request.set_top_k(options.top_k);
  request.set_seed(options.seed);
  const auto worker = find_worker(line.worker);
  if (!worker) return fail(kLonghaul, worker.error());
  if (!options.json) {
    // In this process's place, so that the text appears as it is made.
    std::cout << std::flush;
    return fail(kLonghaul, become_worker(*worker, {"generate"}, request.SerializeAsString()));
  }
  auto text = run_worker(*worker, {"generate"}, request.SerializeAsString());
  if (!text) return fail(kLonghaul, text.error());
  if (text->ends_with('\n')) text->pop_back();
  const Json result{{"prompt", options.prompt}, {"text", *text}};
  std::cout << result.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  return kDone;
}

int data(const CommandLine& line, const WorkerOptions& options) {
  auto submission = load_submission(options.submission);
  if (!submission) return kUsage;
  wire::DataRequest request;
  *request.mutable_job() = std::move(*submission->mutable_job());
  *request.mutable_graph() = std::move(*submission->mutable_graph());
  if (!options.to.empty()) {
    request.set_split(options.split);
    request.set_path(std::filesystem::absolute(options.to).string());
  }
  int code = kDone;
  const auto answer = ask_worker(line, {"data"}, request.SerializeAsString(), code);
  if (!answer) return code;
  if (options.json) {
    std::cout << answer->dump() << '\n';
  } else {
    for (const auto& [key, value] : answer->items()) {
      std::cout << fmt::format("{:<22} {}\n", key, plain(value));
    }
  }
  return kDone;
}

void add_probe(CommandLine& line, const std::shared_ptr<WorkerOptions>& options) {
  auto* command = line.app.add_subcommand("probe", "this host's devices");
  command->add_flag("--quick", options->quick, "do not measure how fast they are");
  command
      ->add_option("--profile", options->profile,
                   "measure this job's model on a device: operators, optimizer, codecs")
      ->type_name("JOB.yaml");
  command->add_option("--device", options->device, "with --profile: cpu or cuda:N")
      ->capture_default_str();
  command->add_option("--threads", options->threads, "with --profile: of a cpu device")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  command->add_option("--seconds", options->seconds, "with --profile: for each shape")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 600.0));
  command->add_option("-o,--out", options->out, "with --profile: the file to write")
      ->type_name("FILE.json");
  add_json_option(*command, options->json);
  command->callback(
      [&line, options] { line.action = [&line, options] { return probe(line, *options); }; });
}

void add_generate(CommandLine& line, const std::shared_ptr<WorkerOptions>& options) {
  auto* command = line.app.add_subcommand("generate", "continue a text with a trained model");
  command->add_option("model,--model", options->model, "a Hugging Face folder with weights")
      ->required()
      ->type_name("DIR");
  command->add_option("--prompt", options->prompt, "the text to continue")->type_name("TEXT");
  command->add_option("--tokens", options->tokens, "at most this many")->capture_default_str();
  command->add_option("--temperature", options->temperature, "0: always the likeliest token")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  command->add_option("--top-k", options->top_k, "choose among so many; 0: all")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "of the choice")->capture_default_str();
  add_json_option(*command, options->json);
  command->callback(
      [&line, options] { line.action = [&line, options] { return generate(line, *options); }; });
}

void add_data(CommandLine& line, const std::shared_ptr<WorkerOptions>& options) {
  auto* parent = line.app.add_subcommand("data", "a job's data as the workers read it");
  parent->require_subcommand(1);
  const auto add = [&](const char* name, const char* description) {
    auto* command = parent->add_subcommand(name, description);
    command->add_option("job", options->submission.job, "the job file")
        ->required()
        ->type_name("JOB.yaml");
    add_json_option(*command, options->json);
    command->callback(
        [&line, options] { line.action = [&line, options] { return data(line, *options); }; });
    return command;
  };
  add("show", "how many tokens and sequences there are, and how predictable");
  auto* command = add("export", "write the sequences of a split as a .bin file");
  command->add_option("--split", options->split, "train or holdout")
      ->capture_default_str()
      ->check(CLI::IsMember({"train", "holdout"}));
  command->add_option("--to", options->to, "the file to write")->required()->type_name("FILE.bin");
}

}  // namespace

void add_worker_commands(CommandLine& line) {
  auto options = std::make_shared<WorkerOptions>();
  add_probe(line, options);
  add_generate(line, options);
  add_data(line, options);
}

}  // namespace longhaul::daemon
