// The SQLite store: what is written is read back, by this process or the next.
#include "daemon/coordinator/sqlite_store.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

using namespace longhaul;
using namespace longhaul::daemon;

namespace {

struct Folder {
  Folder() {
    auto pattern = (std::filesystem::temp_directory_path() / "longhaul-store-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

Transition one_job() {
  Transition transition;
  transition.epoch = 3;
  transition.durable = true;
  auto& assignment = transition.new_jobs.emplace_back();
  assignment.set_job_id("job-3");
  assignment.mutable_plan()->add_stages()->set_node("node-1");
  wire::JobRecord record;
  record.add_stages()->set_step(7);
  transition.jobs.emplace_back("job-3", record);
  auto& node = transition.nodes.emplace_back();
  node.mutable_info()->set_name("node-1");
  return transition;
}

wire::JobEvent event(std::uint64_t index) {
  wire::JobEvent event;
  event.set_index(index);
  event.mutable_step()->set_step(index);
  return event;
}

}  // namespace

TEST_CASE("sqlite store: what one process committed, the next one loads") {
  const Folder folder;
  const auto file = folder.path / "deep" / "state.sqlite";
  {
    auto store = SqliteStore::open(file);
    REQUIRE(store.has_value());
    CHECK(store.value()->load().value().jobs.empty());
    REQUIRE(store.value()->commit(one_job()).has_value());
    Transition later;
    wire::JobRecord record;
    record.add_stages()->set_step(8);
    later.jobs.emplace_back("job-3", record);
    later.events.emplace_back("job-3", event(0));
    REQUIRE(store.value()->commit(later).has_value());
  }
  auto store = SqliteStore::open(file);
  REQUIRE(store.has_value());
  const auto state = store.value()->load().value();
  CHECK(state.epoch == 3);
  REQUIRE(state.jobs.size() == 1);
  CHECK(state.jobs[0].assignment.plan().stages(0).node() == "node-1");
  CHECK(state.jobs[0].record.stages(0).step() == 8);
  REQUIRE(state.nodes.size() == 1);
  CHECK(state.nodes[0].info().name() == "node-1");
  CHECK(store.value()->events("job-3", 0).value().size() == 1);
}

TEST_CASE("sqlite store: a transition that cannot be written whole is not written in part") {
  const Folder folder;
  auto store = std::move(SqliteStore::open(folder.path / "state.sqlite").value());
  REQUIRE(store->commit(one_job()).has_value());
  Transition twice;
  twice.events.emplace_back("job-3", event(0));
  twice.events.emplace_back("job-3", event(0));
  const auto refused = store->commit(twice);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().kind == proto::ErrorKind::kResource);
  CHECK(store->events("job-3", 0).value().empty());
  Transition once;
  once.events.emplace_back("job-3", event(0));
  CHECK(store->commit(once).has_value());
}

TEST_CASE("sqlite store: a job's history is bounded, and read from any index") {
  const Folder folder;
  auto store = std::move(SqliteStore::open(folder.path / "state.sqlite").value());
  REQUIRE(store->commit(one_job()).has_value());
  Transition many;
  for (std::uint64_t i = 0; i < kKeptEventsPerJob + 10; ++i) {
    many.events.emplace_back("job-3", event(i));
  }
  REQUIRE(store->commit(many).has_value());
  const auto all = store->events("job-3", 0).value();
  REQUIRE(all.size() == kKeptEventsPerJob);
  CHECK(all.front().index() == 10);
  const auto tail = store->events("job-3", kKeptEventsPerJob + 8).value();
  REQUIRE(tail.size() == 2);
  CHECK(tail[0].step().step() == kKeptEventsPerJob + 8);
  Transition forget;
  forget.forgotten_jobs.push_back("job-3");
  REQUIRE(store->commit(forget).has_value());
  CHECK(store->load().value().jobs.empty());
  CHECK(store->events("job-3", 0).value().empty());
}

TEST_CASE("sqlite store: a second coordinator on the same file is refused with the way out") {
  const Folder folder;
  const auto first = SqliteStore::open(folder.path / "state.sqlite");
  REQUIRE(first.has_value());
  const auto second = SqliteStore::open(folder.path / "state.sqlite");
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().kind == proto::ErrorKind::kResource);
  CHECK(second.error().message.find("another longhaul-coordinator uses it") != std::string::npos);
}

TEST_CASE("sqlite store: a file that is something else is refused, and left as it is") {
  const Folder folder;
  const auto file = folder.path / "state.sqlite";
  const std::string text(5000, 'x');
  std::ofstream(file) << text;
  const auto opened = SqliteStore::open(file);
  REQUIRE_FALSE(opened.has_value());
  CHECK(opened.error().kind == proto::ErrorKind::kConfiguration);
  std::ifstream again(file);
  CHECK(std::string(std::istreambuf_iterator<char>(again), {}) == text);
}
