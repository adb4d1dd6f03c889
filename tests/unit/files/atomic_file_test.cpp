// Files and folders that appear whole, and what dead writers leave.
#include "compnode/files/atomic_file.hpp"

#include "compnode/files/atomic_folder.hpp"
#include "tests/unit/files/result_text.hpp"
#include "tests/unit/files/scratch_folder.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace longhaul::compnode {
namespace {

using test::ScratchFolder;
using Names = std::vector<std::string>;

// Runs the body in a process that then dies without a destructor, as if killed.
template <class Body>
void in_killed_process(Body body) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST_CASE("atomic file: it is not there before commit, and whole after") {
  const ScratchFolder folder;
  auto file = AtomicFile::create(folder / "f");
  REQUIRE(file);
  REQUIRE(file->append(bytes_of("hello ")));
  CHECK_FALSE(std::filesystem::exists(folder / "f"));
  REQUIRE(file->append(bytes_of("world")));
  REQUIRE(file->commit());
  CHECK(test::read_bytes(folder / "f") == "hello world");
  CHECK(test::names_in(folder.path()) == Names{"f"});
}

TEST_CASE("atomic file: without commit nothing stays, and what was there before does") {
  const ScratchFolder folder;
  REQUIRE(write_file(folder / "f", "old"));
  {
    auto file = AtomicFile::create(folder / "f");
    REQUIRE(file);
    REQUIRE(file->append(bytes_of("new")));
  }
  CHECK(test::read_bytes(folder / "f") == "old");
  CHECK(test::names_in(folder.path()) == Names{"f"});
}

TEST_CASE("stale partials: those of dead writers go, those of living ones and other files stay") {
  const ScratchFolder folder;
  REQUIRE(write_file(folder / "f", "old"));
  test::write_bytes(folder / "notes.partial-mine", "a user's file");
  in_killed_process([&] {
    auto* file = new auto(AtomicFile::create(folder / "f"));
    (void)(*file)->append(bytes_of("half"));
    (void)new auto(AtomicFolder::create(folder / "g"));
  });
  CHECK(test::names_in(folder.path()).size() == 4);
  auto living = AtomicFile::create(folder / "f");
  REQUIRE(living);
  REQUIRE(living->append(bytes_of("new")));

  REQUIRE(remove_stale_partials(folder.path()));
  CHECK(test::names_in(folder.path()).size() == 3);
  REQUIRE(living->commit());
  CHECK(test::names_in(folder.path()) == Names{"f", "notes.partial-mine"});
  CHECK(test::read_bytes(folder / "f") == "new");
}

TEST_CASE("stale partials: only those of the stem asked for go") {
  const ScratchFolder folder;
  in_killed_process([&] {
    (void)new auto(AtomicFile::create(folder / "a"));
    (void)new auto(AtomicFile::create(folder / "ab"));
  });
  REQUIRE(remove_stale_partials(folder.path(), "a"));
  const auto left = test::names_in(folder.path());
  REQUIRE(left.size() == 1);
  CHECK(left.front().starts_with("ab.partial-"));
  CHECK(remove_stale_partials(folder / "none"));
}

TEST_CASE("atomic folder: it takes the place of nothing, of an empty folder, and of a full one") {
  const ScratchFolder folder;
  for (const std::string content : {"first", "second"}) {
    auto filling = AtomicFolder::create(folder / "deep/er/model/");
    REQUIRE(filling);
    REQUIRE(write_file(filling->partial() / content, content));
    REQUIRE(filling->commit());
  }
  CHECK(test::names_in(folder / "deep/er") == Names{"model"});
  CHECK(test::names_in(folder / "deep/er/model") == Names{"second"});
  std::filesystem::create_directory(folder / "empty");
  {
    auto filling = AtomicFolder::create(folder / "empty");
    REQUIRE(filling);
    REQUIRE(write_file(filling->partial() / "x", "x"));
    REQUIRE(filling->commit());
  }
  CHECK(test::names_in(folder / "empty") == Names{"x"});
}

TEST_CASE("atomic folder: a link to a folder stays a link") {
  const ScratchFolder folder;
  std::filesystem::create_directory(folder / "real");
  REQUIRE(write_file(folder / "real" / "old", ""));
  std::filesystem::create_directory_symlink(folder / "real", folder / "link");
  {
    auto filling = AtomicFolder::create(folder / "link");
    REQUIRE(filling);
    REQUIRE(write_file(filling->partial() / "new", ""));
    REQUIRE(filling->commit());
  }
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(test::names_in(folder / "real") == Names{"new"});
  CHECK(test::names_in(folder.path()) == Names{"link", "real"});
}

TEST_CASE("atomic folder: what a killed export left goes with the next one") {
  const ScratchFolder folder;
  in_killed_process([&] {
    auto* filling = new auto(AtomicFolder::create(folder / "model"));
    (void)write_file((*filling)->partial() / "weights", "half");
  });
  CHECK(test::names_in(folder.path()).size() == 1);
  { REQUIRE(AtomicFolder::create(folder / "model")); }
  CHECK(test::names_in(folder.path()).empty());
}

}  // namespace
}  // namespace longhaul::compnode
