// Folders with one file, with shards, and with an index that lies.
#include "compnode/files/weights_folder.hpp"

#include "tests/unit/files/result_text.hpp"
#include "tests/unit/files/scratch_folder.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

using test::ScratchFolder;

constexpr const char* kIndexName = "model.safetensors.index.json";

void write_tensors(const std::filesystem::path& path, const std::vector<std::string>& names) {
  static const std::vector<float> values{1, 2};
  std::vector<NamedTensor> tensors;
  for (const auto& name : names) tensors.push_back({name, f32_view({2}, values)});
  REQUIRE(write_safetensors(path, tensors, {}));
}

std::string refusal(const std::filesystem::path& folder) {
  const auto weights = WeightsFolder::open(folder);
  if (weights) return "accepted";
  CHECK(weights.error().kind == proto::ErrorKind::kConfiguration);
  return weights.error().message;
}

std::string index_refusal(std::string_view json) {
  const auto index = parse_weights_index(json);
  return index ? "accepted" : index.error().message;
}

TEST_CASE("weights folder: shards give the tensors that the index promises") {
  const ScratchFolder folder;
  write_tensors(folder / "model-00001-of-00002.safetensors", {"a", "b"});
  write_tensors(folder / "model-00002-of-00002.safetensors", {"c"});
  const WeightsIndex index{{"a", "model-00001-of-00002.safetensors"},
                           {"b", "model-00001-of-00002.safetensors"},
                           {"c", "model-00002-of-00002.safetensors"}};
  test::write_bytes(folder / kIndexName, render_weights_index(index, 24));
  const auto weights = WeightsFolder::open(folder.path());
  REQUIRE(weights);
  CHECK(weights->tensors().size() == 3);
  std::vector<float> out(2);
  REQUIRE(read_f32(weights->tensors().at("c"), out));
  CHECK(out == std::vector<float>{1, 2});
}

TEST_CASE("weights folder: a single file counts before an index") {
  const ScratchFolder folder;
  write_tensors(folder / "model.safetensors", {"a"});
  test::write_bytes(folder / kIndexName, "nonsense");
  CHECK(WeightsFolder::open(folder.path())->tensors().contains("a"));
}

TEST_CASE("weights folder: shards that are links to files elsewhere are read") {
  const ScratchFolder folder;
  std::filesystem::create_directories(folder / "blobs");
  std::filesystem::create_directories(folder / "snapshot");
  write_tensors(folder / "blobs" / "123", {"a"});
  std::filesystem::create_symlink("../blobs/123", folder / "snapshot" / "model.safetensors");
  CHECK(WeightsFolder::open(folder / "snapshot"));
}

TEST_CASE("weights folder: no weights, or pickled ones, are refused with the way out") {
  const ScratchFolder folder;
  const std::string name = folder.path().string();
  CHECK(refusal(folder.path()) ==
        name + ": has neither model.safetensors nor model.safetensors.index.json");
  test::write_bytes(folder / "pytorch_model.bin", "");
  CHECK(refusal(folder.path()).find("safe_serialization=True") != std::string::npos);
}

TEST_CASE("weights folder: shards that are missing or hold something else are named") {
  const ScratchFolder folder;
  const auto with_index = [&](const WeightsIndex& index) {
    test::write_bytes(folder / kIndexName, render_weights_index(index, 0));
    return refusal(folder.path());
  };
  write_tensors(folder / "x.safetensors", {"a", "b"});
  const std::string shard = (folder / "x.safetensors").string();
  CHECK(with_index({{"a", "x.safetensors"}, {"b", "x.safetensors"}}) == "accepted");
  CHECK(with_index({{"a", "x.safetensors"}, {"b", "y.safetensors"}})
            .find("tensor 'b' is not there according to") != std::string::npos);
  CHECK(with_index({{"a", "x.safetensors"}}).find("tensor 'b' is not there according to") !=
        std::string::npos);
  CHECK(with_index({{"a", "x.safetensors"}, {"b", "x.safetensors"}, {"c", "x.safetensors"}}) ==
        shard + ": tensor 'c' is missing, which model.safetensors.index.json puts there");
  CHECK(with_index({{"c", "y.safetensors"}}).find("y.safetensors: cannot be read") !=
        std::string::npos);
}

TEST_CASE("weights index: shard names with a way out of the folder are refused") {
  for (const char* name : {"../x.safetensors", "/etc/x.safetensors", "a/b.safetensors",
                           "..\\\\x.safetensors", ".safetensors", "..", "", "x.bin",
                           "x\\u0000.safetensors"}) {
    CAPTURE(name);
    const std::string json = std::string(R"({"weight_map":{"a":")") + name + "\"}}";
    CHECK(index_refusal(json).find("is not the name of a .safetensors file") != std::string::npos);
  }
}

TEST_CASE("weights index: anything but a map of texts is refused") {
  CHECK(index_refusal("") == "not JSON at byte 1");
  CHECK(index_refusal(std::string_view("{\"weight_map\":{}}\0x", 19)) == "not JSON at byte 18");
  CHECK(index_refusal("[]") == "it is not a JSON object");
  CHECK(index_refusal("\"weight_map\"") == "it is not a JSON object");
  CHECK(index_refusal("7") == "it is not a JSON object");
  CHECK(index_refusal("{}") == "it has no weight_map");
  CHECK(index_refusal(R"({"metadata":{"weight_map":{}}})") == "it has no weight_map");
  const std::string no_map = "weight_map must give a file name for each tensor";
  CHECK(index_refusal(R"({"weight_map":[]})") == no_map);
  CHECK(index_refusal(R"({"weight_map":"x.safetensors"})") == no_map);
  CHECK(index_refusal(R"({"weight_map":{"a":1}})") == no_map);
  CHECK(index_refusal(R"({"weight_map":{"a":{"b":"x.safetensors"}}})") == no_map);
  CHECK(index_refusal(R"({"weight_map":{"a":["x.safetensors"]}})") == no_map);
  CHECK(index_refusal(R"({"weight_map":{},"weight_map":{}})") == "weight_map is there twice");
  CHECK(index_refusal(R"({"weight_map":{"a":"x.safetensors","a":"x.safetensors"}})") ==
        "tensor 'a' is there twice");
  CHECK(index_refusal(R"({"metadata":{"total_size":1,"x":[{}]},"weight_map":{}})") == "accepted");
  CHECK(index_refusal("{\"metadata\":" + std::string(1'000'000, '[')) ==
        "it is nested too deeply");
}

}  // namespace
}  // namespace longhaul::compnode
