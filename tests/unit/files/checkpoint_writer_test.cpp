// The writer's thread: order, bound, failures, and the end.
#include "compnode/files/checkpoint_writer.hpp"

#include "compnode/files/checkpoint_store.hpp"
#include "tests/unit/files/result_text.hpp"
#include "tests/unit/files/scratch_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

using test::ScratchFolder;

StageSnapshot snapshot(std::uint64_t step, std::shared_ptr<const std::vector<float>> values) {
  const TensorView view = f32_view({static_cast<std::int64_t>(values->size())}, *values);
  return {.info = {.step = step,
                   .seed = 1,
                   .data_cursor = 0,
                   .graph = "g",
                   .run = "r",
                   .settings = {}},
          .place = {},
          .tensors = {{state_name(StateRole::kParameter, "w"), view, values}}};
}

std::shared_ptr<const std::vector<float>> buffer() {
  return std::make_shared<const std::vector<float>>(1000, 1.5F);
}

// Opened once, from any thread.
class Gate {
 public:
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

TEST_CASE("checkpoint writer: each snapshot is reported once, in order, with its path") {
  const ScratchFolder folder;
  std::vector<std::string> reports;
  {
    CheckpointWriter writer({.directory = folder.path(), .keep = 0, .capacity = 2},
                            [&](std::uint64_t step, proto::Result<std::filesystem::path> path) {
                              REQUIRE(path);
                              CHECK(*path == stage_file_path(folder.path(), step, {}));
                              reports.push_back(std::to_string(step));
                            });
    for (std::uint64_t step = 1; step <= 5; ++step) writer.submit(snapshot(step, buffer()));
    writer.drain();
    CHECK(reports.size() == 5);
  }
  CHECK(reports == std::vector<std::string>{"1", "2", "3", "4", "5"});
  CHECK(StageFile::open(stage_file_path(folder.path(), 3, {}))->verify());
}

TEST_CASE("checkpoint writer: destruction writes what was submitted") {
  const ScratchFolder folder;
  {
    CheckpointWriter writer({.directory = folder.path(), .keep = 0, .capacity = 2},
                            [](std::uint64_t, const auto& path) { CHECK(path); });
    for (std::uint64_t step = 1; step <= 3; ++step) writer.submit(snapshot(step, buffer()));
  }
  CHECK(checkpoint_steps(folder.path()).value() == std::vector<std::uint64_t>{1, 2, 3});
}

TEST_CASE("checkpoint writer: submit waits while the queue is full, and buffers are let go") {
  const ScratchFolder folder;
  Gate gate;
  const auto first = buffer();
  std::weak_ptr<const std::vector<float>> watched;
  CheckpointWriter writer({.directory = folder.path(), .keep = 0, .capacity = 1},
                          [&](std::uint64_t, const auto&) { gate.wait(); });
  {
    const auto own = buffer();
    watched = own;
    writer.submit(snapshot(1, own));
  }
  writer.wait_until_read();  // and then held at the gate: not reported yet
  CHECK(watched.expired());
  writer.submit(snapshot(2, first));  // waits in the queue
  auto third = std::async(std::launch::async, [&] { writer.submit(snapshot(3, first)); });
  CHECK(third.wait_for(std::chrono::milliseconds(0)) != std::future_status::ready);
  gate.open();
  third.get();
  writer.drain();
  CHECK(first.use_count() == 1);
}

TEST_CASE("checkpoint writer: a disk that refuses is reported, and the next snapshot still tried") {
  const ScratchFolder folder;
  const auto directory = folder / "out";
  test::write_bytes(directory, "a file where the folder belongs");
  std::vector<proto::Result<std::filesystem::path>> reports;
  CheckpointWriter writer({.directory = directory, .keep = 0, .capacity = 1},
                          [&](std::uint64_t, auto path) { reports.push_back(std::move(path)); });
  writer.submit(snapshot(1, buffer()));
  writer.drain();
  std::filesystem::remove(directory);
  writer.submit(snapshot(2, buffer()));
  writer.drain();
  writer.wait_until_read();  // what failed holds nobody up
  REQUIRE(reports.size() == 2);
  REQUIRE_FALSE(reports[0]);
  CHECK(reports[0].error().kind == proto::ErrorKind::kResource);
  CHECK(reports[0].error().message.starts_with(directory.string() + ": cannot be made"));
  CHECK(reports[1]);
}

TEST_CASE("checkpoint writer: tensors that change once they are read leave the file as it was") {
  const ScratchFolder folder;
  auto values = std::make_shared<std::vector<float>>(300'000, 0.0F);  // more than is buffered
  bool sound = true;
  CheckpointWriter writer({.directory = folder.path(), .keep = 0, .capacity = 1},
                          [&](std::uint64_t, const auto& path) { sound = sound && path; });
  for (std::uint64_t step = 1; step <= 5; ++step) {
    for (float& value : *values) value = static_cast<float>(step);
    writer.submit(snapshot(step, values));
    writer.wait_until_read();
  }
  writer.drain();
  CHECK(sound);
  for (std::uint64_t step = 1; step <= 5; ++step) {
    const auto file = StageFile::open(stage_file_path(folder.path(), step, {}));
    REQUIRE(file);
    CHECK(file->verify());
    std::vector<float> read(values->size());
    REQUIRE(read_f32(file->tensors().at(state_name(StateRole::kParameter, "w")), read));
    CHECK(std::ranges::all_of(read, [&](float x) { return x == static_cast<float>(step); }));
  }
}

TEST_CASE("checkpoint writer: old checkpoints go as new ones come") {
  const ScratchFolder folder;
  CheckpointWriter writer({.directory = folder.path(), .keep = 2, .capacity = 1},
                          [](std::uint64_t, const auto& path) { CHECK(path); });
  for (std::uint64_t step = 1; step <= 5; ++step) writer.submit(snapshot(step, buffer()));
  writer.drain();
  CHECK(checkpoint_steps(folder.path()).value() == std::vector<std::uint64_t>{4, 5});
}

}  // namespace
}  // namespace longhaul::compnode
