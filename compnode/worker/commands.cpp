// preflight, probe and data: short answers about this host and the user's files.
#include "compnode/worker/commands.hpp"

#include "compnode/data/split_bin.hpp"
#include "compnode/data/unigram.hpp"
#include "compnode/execution/blas.hpp"
#include "compnode/execution/torch.hpp"
#include "compnode/worker/preparation.hpp"
#include "compnode/worker/standard_input.hpp"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

namespace longhaul::compnode {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "cpu";
}

namespace {

using Json = nlohmann::ordered_json;

// The best of a few products of square matrices, in GFLOP/s.
double matrix_rate(at::ScalarType type) {
  constexpr std::int64_t kSize = 1024;
  constexpr int kRepeats = 8;
  const at::Tensor a = at::ones({kSize, kSize}, type);
  at::Tensor out = a.mm(a);
  double best_s = 1e9;
  for (int i = 0; i < kRepeats; ++i) {
    const auto start = std::chrono::steady_clock::now();
    at::mm_out(out, a, a);
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best_s = std::min(best_s, taken.count());
  }
  return 2.0 * kSize * kSize * kSize / best_s / 1e9;
}

volatile std::sig_atomic_t stop_asked = 0;
struct Stopped {};

}  // namespace

int preflight_command() {
  for (const int number : {SIGTERM, SIGINT}) std::signal(number, [](int) { stop_asked = 1; });
  const auto submission = message_from_standard_input<wire::SubmitJob>();
  Preflight findings;
  try {
    findings = preflight(submission, [] {
      if (stop_asked != 0) throw Stopped();
    });
  } catch (const Stopped&) {
    return 1;  // whoever asked says so
  }
  const std::string advice = cuda_devices().empty() ? advice_on(blas_in_use()) : std::string();
  if (!advice.empty()) findings.notes.push_back(advice);
  for (const std::string& note : findings.notes) std::cerr << "warning: " << note << '\n';
  for (const proto::Error& error : findings.errors) std::cerr << error.message << '\n';
  return findings.errors.empty() ? 0 : 2;
}

int probe_command(bool quick) {
  Json cpu;
  cpu["description"] = cpu_model();
  cpu["threads"] = std::thread::hardware_concurrency();
  cpu["memory_bytes"] = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
                        static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE));
  if (!quick) {
    set_compute_threads(static_cast<int>(std::thread::hardware_concurrency()));
    cpu["fp32_gflops"] = matrix_rate(at::kFloat);
    cpu["bf16_gflops"] = matrix_rate(at::kBFloat16);
  }
  Json devices = Json::array();
  for (const CudaDevice& device : cuda_devices()) {
    devices.push_back({{"name", device.name},
                       {"description", device.description},
                       {"memory_bytes", device.memory_bytes}});
  }
  const Blas blas = blas_in_use();
  Json answer{{"torch", torch_version()},
              {"blas", {{"name", blas.name}, {"file", blas.file}, {"reference", blas.reference}}},
              {"cpu", cpu},
              {"cuda", devices}};
  if (const std::string advice = advice_on(blas); !advice.empty()) answer["warning"] = advice;
  std::cout << answer.dump(2) << '\n';
  return 0;
}

int data_command() {
  const auto request = message_from_standard_input<wire::DataRequest>();
  const proto::Graph graph = proto::Graph::from_wire(request.graph()).value();
  const wire::Job& job = request.job();
  const auto shapes =
      proto::infer_shapes(graph, {static_cast<std::int64_t>(job.training().micro_batch()),
                                  static_cast<std::int64_t>(job.data().sequence_length())})
          .value();
  const TokenDataset data =
      TokenDataset::open(
          job.data(), {.vocabulary_size = vocabulary_size(graph, shapes).value(), .progress = {}})
          .value();
  Json answer{{"tokens", data.tokens()},
              {"train_sequences", data.train_sequences()},
              {"holdout_sequences", data.holdout_sequences()},
              {"sequence_length", data.sequence_length()},
              {"vocabulary_size", data.vocabulary_size()},
              {"fingerprint", data.fingerprint()}};
  if (data.holdout_sequences() > 0) answer["unigram_cross_entropy"] = unigram_cross_entropy(data);
  if (!request.path().empty()) {
    const Split split = request.split() == "train" ? Split::kTrain : Split::kHoldout;
    const SplitBin written = write_split_bin(data, split, request.path(), BinLayout::kRows).value();
    answer["path"] = request.path();
    answer["token_bits"] = written.token_bits;
    answer["tokens_written"] = written.tokens;
  }
  std::cout << answer.dump(2) << '\n';
  return 0;
}

}  // namespace longhaul::compnode
