// Checkpoints: round trips over numbers of stages, damage, and what is kept.
#include "compnode/files/checkpoint_store.hpp"

#include "compnode/files/atomic_file.hpp"
#include "compnode/files/graph_fingerprint.hpp"
#include "tests/unit/files/sample_model.hpp"
#include "tests/unit/files/result_text.hpp"
#include "tests/unit/files/scratch_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

using test::sample_graph;
using test::SampleWeights;
using test::ScratchFolder;
using Steps = std::vector<std::uint64_t>;

// Writes checkpoints of a graph whose parameters are dealt to stages in turn; the first, which is
// tied, is in the first stage and the last.
struct Run {
  explicit Run(std::string id = "job-1") : id_(std::move(id)) {}

  CheckpointInfo info(std::uint64_t step) const {
    return {.step = step,
            .seed = 7,
            .data_cursor = step * 32,
            .graph = fingerprint(graph),
            .run = id_,
            .settings = "training.batch=8\ncompression=\"dense\"\n"};
  }

  StageSnapshot snapshot(std::uint64_t step, StagePlace place) const {
    StageSnapshot result{info(step), place, {}};
    float role_offset = static_cast<float>(step);
    for (const StateRole role : kStateRoles) {
      const auto weights = std::make_shared<const SampleWeights>(graph, role_offset);
      role_offset += 1000.0F;
      for (std::uint32_t i = 0; i < graph.parameters.size(); ++i) {
        const bool tied_copy = i == 0 && place.stage + 1 == place.stages;
        if (i % place.stages != place.stage && !tied_copy) continue;
        const NamedTensor& tensor = weights->tensors()[i];
        result.tensors.push_back({state_name(role, tensor.name), tensor.view, weights});
      }
    }
    return result;
  }

  void write(const std::filesystem::path& directory, std::uint64_t step,
             std::uint32_t stages) const {
    for (std::uint32_t stage = 0; stage < stages; ++stage) {
      const StagePlace place{.stage = stage, .stages = stages};
      const auto path = write_stage_file(directory, snapshot(step, place));
      REQUIRE(path);
      CHECK(*path == stage_file_path(directory, step, place));
    }
  }

  void check_values(const Checkpoint& checkpoint) const {
    float role_offset = static_cast<float>(checkpoint.info().step);
    for (const StateRole role : kStateRoles) {
      const SampleWeights expected(graph, role_offset);
      role_offset += 1000.0F;
      for (std::uint32_t i = 0; i < graph.parameters.size(); ++i) {
        std::vector<float> values(expected.values(i).size());
        REQUIRE(read_f32(checkpoint.state(role, graph.parameters[i].name), values));
        CHECK(values == expected.values(i));
      }
    }
  }

  proto::Graph graph = sample_graph();

 private:
  std::string id_;
};

std::string reason_for_first_skipped(const ScratchFolder& folder, const proto::Graph& graph) {
  const auto found = find_latest(folder.path(), graph);
  REQUIRE(found);
  REQUIRE_FALSE(found->skipped.empty());
  return found->skipped.front().reason;
}

TEST_CASE("checkpoint: every stage finds its state again, whatever the number of stages") {
  const Run run;
  for (const std::uint32_t stages : {1U, 2U, 3U, 4U}) {
    const ScratchFolder folder;
    run.write(folder.path(), 50, stages);
    const auto found = find_latest(folder.path(), run.graph);
    REQUIRE(found);
    REQUIRE(found->checkpoint);
    CHECK(found->skipped.empty());
    CHECK(found->checkpoint->stages() == stages);
    CHECK(found->checkpoint->info() == run.info(50));
    CHECK(found->checkpoint->path() == folder / "step-00000050");
    run.check_values(*found->checkpoint);
  }
}

// The snapshot, with bytes that come in pieces of 100, and fail in the tensor `broken`.
StageSnapshot in_pieces(StageSnapshot snapshot, std::size_t broken) {
  for (std::size_t i = 0; i < snapshot.tensors.size(); ++i) {
    OwnedTensor& tensor = snapshot.tensors[i];
    tensor.read = [bytes = tensor.view.bytes, fails = i == broken](
                      const OwnedTensor::Take& take) mutable -> proto::Result<void> {
      while (!bytes.empty()) {
        const std::size_t size = std::min<std::size_t>(100, bytes.size());
        take(bytes.first(size));
        bytes = bytes.subspan(size);
        if (fails) return proto::Error{proto::ErrorKind::kResource, "device lost"};
      }
      return {};
    };
    tensor.view.bytes = {};
  }
  return snapshot;
}

TEST_CASE("checkpoint: tensors that come in pieces make the same file, or none") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder / "whole", 50, 1);
  const auto snapshot = run.snapshot(50, {});
  bool read = false;
  REQUIRE(write_stage_file(folder / "pieces", in_pieces(snapshot, snapshot.tensors.size()),
                           [&] { read = true; }));
  CHECK(read);
  CHECK(test::read_bytes(stage_file_path(folder / "pieces", 50, {})) ==
        test::read_bytes(stage_file_path(folder / "whole", 50, {})));
  read = false;
  const auto failed =
      write_stage_file(folder / "none", in_pieces(snapshot, 3), [&] { read = true; });
  REQUIRE_FALSE(failed);
  CHECK(failed.error().message == "device lost");
  CHECK_FALSE(read);
  CHECK(std::filesystem::is_empty(step_folder_path(folder / "none", 50)));
}

TEST_CASE("checkpoint: the same state gives the same bytes") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder / "one", 50, 2);
  run.write(folder / "two", 50, 2);
  const char* name = "step-00000050/stage-1-of-2.safetensors";
  CHECK(test::read_bytes(folder / "one" / name) == test::read_bytes(folder / "two" / name));
}

TEST_CASE("checkpoint: steps over eight digits are found, and compared as numbers") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder.path(), 99'999'999, 1);
  run.write(folder.path(), 100'000'000, 1);
  std::filesystem::create_directory(folder / "step-7");
  std::filesystem::create_directory(folder / "step-0000000x");
  CHECK(checkpoint_steps(folder.path()).value() == Steps{99'999'999, 100'000'000});
  CHECK(find_latest(folder.path(), run.graph)->checkpoint->info().step == 100'000'000);
}

TEST_CASE("checkpoint: a step without all its files is skipped, with the file that is missing") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder.path(), 50, 4);
  run.write(folder.path(), 100, 4);
  const auto missing = stage_file_path(folder.path(), 100, {.stage = 2, .stages = 4});
  std::filesystem::remove(missing);
  std::filesystem::create_directory(folder / "step-00000150");
  const auto found = find_latest(folder.path(), run.graph);
  REQUIRE(found->checkpoint);
  CHECK(found->checkpoint->info().step == 50);
  REQUIRE(found->skipped.size() == 2);
  CHECK(found->skipped[0].step == 150);
  CHECK(found->skipped[0].reason == "it has no files of stages");
  CHECK(found->skipped[1].reason == missing.string() + ": missing");
}

TEST_CASE("checkpoint: any flipped bit and any cut is noticed") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const ScratchFolder folder;
  const Run run;
  run.write(folder.path(), 50, 2);
  const auto path = stage_file_path(folder.path(), 50, {.stage = 1, .stages = 2});
  const auto is_found = [&] {
    return find_latest(folder.path(), run.graph)->checkpoint.has_value();
  };
  const std::size_t size = std::filesystem::file_size(path);
  for (std::size_t byte = 0; byte < size; ++byte) {
    CAPTURE(byte);
    const int mask = 1 << (random() % 8);
    test::flip_bits(path, byte, mask);
    CHECK_FALSE(is_found());
    test::flip_bits(path, byte, mask);
  }
  CHECK(is_found());
  for (std::size_t cut = size; cut > 0; cut -= std::min<std::size_t>(cut, 1 + random() % 50)) {
    CAPTURE(cut);
    std::filesystem::resize_file(path, cut - 1);
    CHECK_FALSE(is_found());
  }
}

TEST_CASE("checkpoint: a damaged set does not hide a sound one of the same step") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder.path(), 50, 2);
  run.write(folder.path(), 50, 4);
  const auto path = stage_file_path(folder.path(), 50, {.stage = 0, .stages = 2});
  test::flip_bits(path, std::filesystem::file_size(path) - 1);
  const auto found = find_latest(folder.path(), run.graph);
  REQUIRE(found->checkpoint);
  CHECK(found->checkpoint->stages() == 4);
  run.check_values(*found->checkpoint);
}

TEST_CASE("checkpoint: files of two runs never make one checkpoint") {
  const ScratchFolder folder;
  const Run first("job-1");
  const Run second("job-2");
  first.write(folder.path(), 50, 2);
  REQUIRE(write_stage_file(folder.path(), second.snapshot(50, {.stage = 1, .stages = 2})));
  CHECK(reason_for_first_skipped(folder, first.graph).find("is of another run than stage 0") !=
        std::string::npos);
}

TEST_CASE("checkpoint: a tied parameter with two values is refused by name") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder.path(), 50, 2);
  auto other = run.snapshot(51, {.stage = 1, .stages = 2});
  other.info = run.info(50);
  REQUIRE(write_stage_file(folder.path(), other));
  CHECK(reason_for_first_skipped(folder, run.graph) ==
        "stage 1 has other values of 'exp_avg/transformer.wte.weight' than a stage before it");
}

TEST_CASE("checkpoint: another model's is skipped, also where only the shapes differ") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder.path(), 50, 2);
  const auto wider = sample_graph(8);
  CHECK(reason_for_first_skipped(folder, wider) ==
        "it is of another model or of other model settings");
  auto lying = run.snapshot(100, {});
  lying.info.graph = fingerprint(wider);
  REQUIRE(write_stage_file(folder.path(), lying));
  CHECK(reason_for_first_skipped(folder, wider) ==
        "'parameter/transformer.wte.weight' is F32 [11, 4], the model's parameter F32 [11, 8]");
  lying.tensors.erase(lying.tensors.begin());
  REQUIRE(write_stage_file(folder.path(), lying));
  CHECK(reason_for_first_skipped(folder, wider) == "'parameter/transformer.wte.weight' is missing");
}

TEST_CASE("checkpoint: a renamed file does not pass for another stage or step") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder.path(), 50, 2);
  const auto zero = stage_file_path(folder.path(), 50, {.stage = 0, .stages = 2});
  const auto one = stage_file_path(folder.path(), 50, {.stage = 1, .stages = 2});
  std::filesystem::copy_file(zero, one, std::filesystem::copy_options::overwrite_existing);
  CHECK(reason_for_first_skipped(folder, run.graph) ==
        one.string() + ": was written as stage 0 of 2 at step 50: the file was renamed");
}

TEST_CASE("checkpoint: nothing to continue from is an error with each step's reason") {
  const ScratchFolder folder;
  const Run run;
  const auto none = open_latest(folder / "none", run.graph);
  CHECK(none.error().kind == proto::ErrorKind::kConfiguration);
  CHECK(none.error().message == (folder / "none").string() + ": is not a folder of checkpoints");
  const std::string nothing = folder.path().string() + ": holds no checkpoint to continue from";
  CHECK(open_latest(folder.path(), run.graph).error() == proto::configuration_error(nothing));
  std::filesystem::create_directory(folder / "step-00000010");
  std::filesystem::create_directory(folder / "step-00000020");
  CHECK(open_latest(folder.path(), run.graph).error().message ==
        nothing + ": step 20: it has no files of stages; step 10: it has no files of stages");
  const auto step = folder / "step-00000010";
  CHECK(open_latest(step, run.graph).error().message ==
        step.string() + ": holds no checkpoint to continue from: it is one step's folder; give " +
            folder.path().string());
}

TEST_CASE("fingerprint: operators and parameters count, names of the model do not") {
  auto graph = sample_graph();
  const std::string before = fingerprint(graph);
  CHECK(before.size() == 16);
  graph.name = "other";
  graph.huggingface_config_json.clear();
  CHECK(fingerprint(graph) == before);
  for (auto& op : graph.operators) {
    if (op.kind == proto::OperatorKind::kAttention) op.heads = 1;
  }
  CHECK(fingerprint(graph) != before);
  CHECK(fingerprint(sample_graph(8)) != before);
  CHECK(fingerprint(sample_graph(4, false)) != before);
}

Steps prune(const ScratchFolder& folder, PruneOptions options) {
  const auto deleted = prune_checkpoints(folder.path(), options);
  REQUIRE(deleted);
  return *deleted;
}

TEST_CASE("prune: the newest complete checkpoints stay, older ones and incomplete ones go") {
  const ScratchFolder folder;
  const Run run;
  for (std::uint64_t step = 10; step <= 50; step += 10) run.write(folder.path(), step, 2);
  for (const std::uint64_t step : {20U, 40U}) {
    std::filesystem::remove(stage_file_path(folder.path(), step, {.stage = 1, .stages = 2}));
  }
  CHECK(prune(folder, {.keep = 0, .newest = 50}).empty());
  CHECK(prune(folder, {.keep = 4, .newest = 50}).empty());
  CHECK(prune(folder, {.keep = 2, .newest = 50}) == Steps{10, 20});
  CHECK(checkpoint_steps(folder.path()).value() == Steps{30, 40, 50});
  CHECK(prune(folder, {.keep = 1, .newest = 50}) == Steps{30, 40});
  CHECK(prune(folder, {.keep = 1, .newest = 50}).empty());
}

TEST_CASE("prune: a step that is being written is not counted and not touched") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder.path(), 10, 2);
  run.write(folder.path(), 20, 2);
  REQUIRE(write_stage_file(folder.path(), run.snapshot(30, {.stage = 0, .stages = 2})));
  CHECK(prune(folder, {.keep = 1, .newest = 30}) == Steps{10});
  CHECK(checkpoint_steps(folder.path()).value() == Steps{20, 30});
}

TEST_CASE("prune: later steps of an earlier run do not push out the new run's") {
  const ScratchFolder folder;
  const Run old_run("job-1");
  const Run new_run("job-2");
  old_run.write(folder.path(), 200, 2);
  old_run.write(folder.path(), 250, 2);
  new_run.write(folder.path(), 50, 2);
  CHECK(prune(folder, {.keep = 1, .newest = 50}).empty());
  CHECK(checkpoint_steps(folder.path()).value() == Steps{50, 200, 250});
}

TEST_CASE("prune: where no checkpoint that stays is sound, none is deleted") {
  const ScratchFolder folder;
  const Run run;
  for (std::uint64_t step = 10; step <= 30; step += 10) run.write(folder.path(), step, 1);
  for (const std::uint64_t step : {20U, 30U}) {
    const auto path = stage_file_path(folder.path(), step, {});
    test::flip_bits(path, std::filesystem::file_size(path) - 1);
  }
  const auto pruned = prune_checkpoints(folder.path(), {.keep = 2, .newest = 30});
  REQUIRE_FALSE(pruned);
  CHECK(pruned.error().kind == proto::ErrorKind::kResource);
  CHECK(checkpoint_steps(folder.path()).value() == Steps{10, 20, 30});
  CHECK(find_latest(folder.path(), run.graph)->checkpoint->info().step == 10);
}

TEST_CASE("prune: what a dead writer left in a step goes") {
  const ScratchFolder folder;
  const Run run;
  run.write(folder.path(), 10, 1);
  const auto left = folder / "step-00000010" / "stage-0-of-1.safetensors.partial-abcdefghij";
  test::write_bytes(left, "half");
  CHECK(prune(folder, {.keep = 0, .newest = 10}).empty());
  CHECK_FALSE(std::filesystem::exists(left));
  CHECK(prune_checkpoints(folder / "none", {.keep = 1, .newest = 10})->empty());
}

}  // namespace
}  // namespace longhaul::compnode
