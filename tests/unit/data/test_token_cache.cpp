// The token cache: written once, whatever races, stops or rots.
#include "compnode/data/dataset.hpp"

#include "tests/unit/data/folder.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace longhaul::compnode {
namespace {

namespace fs = std::filesystem;
using testing::Folder;
using testing::source;

std::string long_text() {
  std::string text;
  while (text.size() < 3'000'000)
    text += "the whale in the water, " + std::to_string(text.size()) + "\n";
  return text;
}

std::vector<fs::path> files_named(const Folder& folder, const std::string& extension) {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder.path() / "cache")) {
    if (entry.path().extension() == extension) found.push_back(entry.path());
  }
  return found;
}

// What a writer that was stopped leaves.
std::size_t partials(const Folder& folder) {
  std::size_t found = 0;
  for (const auto& entry : fs::directory_iterator(folder.path() / "cache")) {
    if (entry.path().filename().string().find(".partial-") != std::string::npos) ++found;
  }
  return found;
}

// How often a data set reported progress: 0 if it came from the cache.
int open_and_count(const wire::DataSource& data) {
  int reports = 0;
  const TokenDataset::Options options{.vocabulary_size = 275,
                                      .progress = [&](const TokenizingProgress&) { ++reports; }};
  return TokenDataset::open(data, options) ? reports : -1;
}

TEST_CASE("token cache: text is tokenised once, and progress ends with all of it") {
  Folder folder;
  const auto data = source(folder, {folder.write("a.txt", long_text()),
                                    folder.write("b.jsonl", "{\"text\": \"the\"}\n")});
  std::vector<TokenizingProgress> reports;
  const auto first =
      TokenDataset::open(
          data, {.vocabulary_size = 275,
                 .progress = [&](const TokenizingProgress& now) { reports.push_back(now); }})
          .value();
  REQUIRE(reports.size() >= 3);
  for (std::size_t i = 0; i + 1 < reports.size(); ++i)
    CHECK(reports[i].bytes_done <= reports[i + 1].bytes_done);
  CHECK(reports.back().bytes_done == reports.back().bytes_total);
  CHECK(open_and_count(data) == 0);
  CHECK(files_named(folder, ".tokens").size() == 1);
  CHECK(partials(folder) == 0);
}

TEST_CASE("token cache: other content, tokenizer or field is another entry") {
  Folder folder;
  auto data = source(
      folder,
      {folder.write("a.jsonl",
                    "{\"text\": \"the whale in the water\", \"more\": \"aaaaa the in the\"}")});
  CHECK(open_and_count(data) > 0);
  data.set_text_field("more");
  CHECK(open_and_count(data) > 0);
  data.set_tokenizer((testing::kFixture / "json").string());
  CHECK(open_and_count(data) > 0);
  folder.write("a.jsonl", "{\"text\": \"x\", \"more\": \"aaaaa the in the whale\"}");
  CHECK(open_and_count(data) > 0);
  CHECK(files_named(folder, ".tokens").size() == 4);
  data.set_sequence_length(3);  // packs the same tokens otherwise
  CHECK(open_and_count(data) == 0);
}

TEST_CASE("token cache: a damaged file and a forgotten part are replaced") {
  Folder folder;
  const auto data = source(folder, {folder.write("a.txt", "the whale in the water of the whale")});
  CHECK(open_and_count(data) > 0);
  const fs::path file = files_named(folder, ".tokens").at(0);
  const std::string sound = testing::read_file(file);
  for (const std::size_t place :
       {std::size_t{0}, std::size_t{16}, std::size_t{40}, sound.size() - 1}) {
    std::string damaged = sound;
    damaged[place] = static_cast<char>(damaged[place] ^ 1);
    folder.write("cache/" + file.filename().string(), damaged);
    folder.write("cache/" + file.filename().string() + ".partial-abcdefghij", "left behind");
    CAPTURE(place);
    CHECK(open_and_count(data) > 0);
    CHECK(testing::read_file(file) == sound);
    CHECK(partials(folder) == 0);
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{63}, sound.size() - 1}) {
    fs::resize_file(file, size);
    CHECK(open_and_count(data) > 0);
    CHECK(testing::read_file(file) == sound);
  }
}

TEST_CASE("token cache: of processes that race, one tokenises and all read the same") {
  Folder folder;
  const auto data = source(folder, {folder.write("a.txt", long_text())});
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      const int reports = open_and_count(data);
      ::_exit(reports < 0 ? 2 : reports > 0 ? 1 : 0);
    }
    children.push_back(child);
  }
  int wrote = 0;
  for (const pid_t child : children) {
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) != 2);
    wrote += WEXITSTATUS(status);
  }
  CHECK(wrote == 1);
  CHECK(open_and_count(data) == 0);
}

TEST_CASE("token cache: a writer that dies lets the next one write") {
  Folder folder;
  const auto data = source(folder, {folder.write("a.txt", long_text())});
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto die = [](const TokenizingProgress&) { ::_exit(0); };
    static_cast<void>(TokenDataset::open(data, {.vocabulary_size = 275, .progress = die}));
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WEXITSTATUS(status) == 0);
  CHECK(files_named(folder, ".tokens").empty());
  CHECK(partials(folder) == 1);
  CHECK(open_and_count(data) > 0);
  CHECK(partials(folder) == 0);
}

TEST_CASE("token cache: a folder that cannot be made is a lack of resources") {
  Folder folder;
  auto data = source(folder, {folder.write("a.txt", "the whale in the water")});
  data.set_cache(folder.write("file", "") + "/cache");
  const auto dataset = TokenDataset::open(data, {.vocabulary_size = 275});
  REQUIRE(!dataset);
  CHECK(dataset.error().kind == proto::ErrorKind::kResource);
}

}  // namespace
}  // namespace longhaul::compnode
