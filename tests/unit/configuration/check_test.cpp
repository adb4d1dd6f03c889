// `config check` on files of unknown kind, and the reference of all keys.
#include "daemon/configuration/check.hpp"

#include "tests/unit/configuration/temporary_folder.hpp"

#include <doctest/doctest.h>

using namespace longhaul::daemon;
using longhaul::tests::TemporaryFolder;

namespace {

std::string outcome(const TemporaryFolder& folder, const std::string& yaml,
                    std::optional<FileKind> kind = std::nullopt) {
  const auto checked = check_file(folder.write("f.yaml", yaml), kind);
  return checked ? std::string(file_kind_name(*checked))
                 : folder.shorten(to_string(checked.error()));
}

}  // namespace

TEST_CASE("check: the keys tell the kind of file") {
  const TemporaryFolder folder;
  CHECK(outcome(folder, "listen: tcp://h:1\npeers: []\n") == "coordinator");
  CHECK(outcome(folder, "training: {}\n").find("missing key 'model'") != std::string::npos);
  CHECK(outcome(folder, "name: a\nsite: b\nadvertise: c\n").find("missing key 'coordinator'") !=
        std::string::npos);
  // A client's keys are a node's too; the file with nothing else is a client's.
  CHECK(outcome(folder, "coordinator: {}\n").find("missing key 'coordinator.address'") !=
        std::string::npos);
  CHECK(outcome(folder, "coordinator: {}\n").find("site") == std::string::npos);
}

TEST_CASE("check: keys that tell no kind, or two, need --kind") {
  const TemporaryFolder folder;
  const std::string_view expected =
      "$/f.yaml: its keys do not tell what kind of file it is; give --kind job, coordinator, node, "
      "client, fleet, profile or graph";
  CHECK(outcome(folder, "") == expected);
  CHECK(outcome(folder, "colour: red\n") == expected);
  CHECK(outcome(folder, "peers: [\n").starts_with("$/f.yaml:2:1: not valid YAML: "));
  CHECK(outcome(folder, "colour: red\npeers: []\n", FileKind::kCoordinator) ==
        "$/f.yaml:1:1: unknown key 'colour'; known here: listen, key, state, peers");
}

TEST_CASE("check: a job's model is looked into") {
  const TemporaryFolder folder;
  folder.write("config.json", R"({"model_type": "llama"})");
  folder.write("t.bin", "1234");
  CHECK(outcome(folder,
                "model: {config: config.json}\ndata: {train: t.bin, sequence_length: 4}\n"
                "training: {steps: 1, batch: 1}\n") ==
        "$/f.yaml: $/config.json: model_type 'llama' is not supported; gpt2 is");
}

TEST_CASE("check: an operator graph is checked as one") {
  const TemporaryFolder folder;
  const std::string example = longhaul::tests::read_file(
      std::filesystem::path(LONGHAUL_SOURCE_DIR) / "deploy/examples/gated_convolution/graph.json");
  CHECK(outcome(folder, example) == "graph");
  CHECK(outcome(folder, R"({"name": "a", "operators": []})").starts_with("$/f.yaml: "));
  std::string cyclic = example;
  const std::string tokens = R"("inputs": ["tokens"])";
  const auto at = cyclic.find(tokens);
  REQUIRE(at != std::string::npos);
  cyclic.replace(at, tokens.size(), R"("inputs": ["nobody"])");
  CHECK(outcome(folder, cyclic).find("'nobody'") != std::string::npos);
  CHECK(outcome(folder, R"({"operators": [], "colour": 1})").find("colour") != std::string::npos);
}

TEST_CASE("check: a profile is no graph, though it has operators too") {
  const TemporaryFolder folder;
  CHECK(outcome(folder, R"({"schema": 1, "kind": "cpu", "operators": [], "colour": 1})")
            .find("Protobuf") == std::string::npos);
}

TEST_CASE("check: every kind has a name") {
  for (const FileKind kind :
       {FileKind::kJob, FileKind::kCoordinator, FileKind::kNode, FileKind::kClient,
        FileKind::kFleet, FileKind::kProfile, FileKind::kGraph}) {
    CHECK(file_kind(file_kind_name(kind)) == kind);
  }
  CHECK_FALSE(file_kind("boat"));
}

TEST_CASE("reference: the committed one is what the tables say") {
  // After a change: longhaul config reference > daemon/configuration/reference.md
  const auto committed =
      std::filesystem::path(LONGHAUL_SOURCE_DIR) / "daemon/configuration/reference.md";
  CHECK(configuration_reference() == longhaul::tests::read_file(committed));
}
