// Every file of deploy/examples loads, and what it describes can be built.
#include "daemon/configuration/check.hpp"
#include "daemon/configuration/job_file.hpp"
#include "daemon/configuration/model_source.hpp"
#include "tests/unit/configuration/temporary_folder.hpp"

#include "proto/graph.hpp"
#include "proto/job.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace longhaul;
using namespace longhaul::daemon;
using longhaul::tests::TemporaryFolder;

namespace {

// The examples, beside stand-ins for what deploy/fetch_inputs downloads.
struct Examples : TemporaryFolder {
  Examples() {
    std::filesystem::create_directories(path() / "deploy");
    std::filesystem::copy(std::filesystem::path(LONGHAUL_SOURCE_DIR) / "deploy/examples", folder(),
                          std::filesystem::copy_options::recursive);
    std::filesystem::copy(std::filesystem::path(LONGHAUL_SOURCE_DIR) / "deploy/wan",
                          path() / "deploy/wan");
    for (const char* file :
         {"gpt2/vocab.json", "gpt2/merges.txt", "text/sotu/a.txt", "text/moby-dick.txt"}) {
      write(std::filesystem::path("build/inputs") / file, "");
    }
  }
  [[nodiscard]] std::filesystem::path folder() const { return path() / "deploy/examples"; }

  [[nodiscard]] proto::Graph graph_of(const std::string& job_file) const {
    const auto job = load_job(folder() / job_file);
    REQUIRE(job.has_value());
    CHECK(proto::validate_job(*job).has_value());
    const auto message = build_graph(*job);
    REQUIRE(message.has_value());
    return proto::Graph::from_wire(*message).value();
  }
};

std::int64_t parameters(const proto::Graph& graph) {
  std::int64_t sum = 0;
  for (const proto::Parameter& parameter : graph.parameters) sum += parameter.elements();
  return sum;
}

}  // namespace

TEST_CASE("examples: every YAML file passes config check") {
  const Examples examples;
  std::vector<std::string> checked;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(examples.folder())) {
    if (entry.path().extension() != ".yaml") continue;
    const auto kind = check_file(entry.path(), std::nullopt);
    CHECK_MESSAGE(kind.has_value(), (kind ? "" : to_string(kind.error())));
    checked.emplace_back(kind ? file_kind_name(*kind) : "wrong");
  }
  std::sort(checked.begin(), checked.end());
  CHECK(checked ==
        std::vector<std::string>{"client", "coordinator", "fleet", "job", "job", "node"});
}

TEST_CASE("examples: the demo's model is a GPT-2 of 18 million parameters") {
  const proto::Graph graph = Examples().graph_of("sotu.yaml");
  CHECK(parameters(graph) == 17'735'936);
  CHECK_FALSE(graph.huggingface_config_json.empty());
}

TEST_CASE("examples: the gated convolutions are no GPT, and take the job's dropout") {
  const proto::Graph graph = Examples().graph_of("gated_convolution/job.yaml");
  CHECK(graph.name == "gated_convolution");
  CHECK(graph.huggingface_config_json.empty());
  const auto count = [&](proto::OperatorKind kind) {
    return std::count_if(graph.operators.begin(), graph.operators.end(),
                         [&](const proto::Operator& op) { return op.kind == kind; });
  };
  CHECK(count(proto::OperatorKind::kAttention) == 0);
  CHECK(count(proto::OperatorKind::kCausalConv1d) == 8);
  CHECK(count(proto::OperatorKind::kMultiply) == 4);
  for (const proto::Operator& op : graph.operators) {
    if (op.kind == proto::OperatorKind::kDropout) CHECK(op.rate == 0.1);
  }
}
