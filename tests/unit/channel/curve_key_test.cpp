// CURVE key pairs and their files.
#include "proto/channel/curve_key.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include <stdlib.h>
#include <sys/stat.h>

namespace longhaul::proto {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "longhaul-keys-XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::filesystem::path file(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

void write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file) << text;
  REQUIRE(::chmod(file.c_str(), 0600) == 0);
}

TEST_CASE("curve_key: fresh pairs differ and are Z85") {
  const CurveKeyPair a = make_curve_key_pair();
  const CurveKeyPair b = make_curve_key_pair();
  CHECK(is_z85_key(a.public_key));
  CHECK(is_z85_key(a.secret_key));
  CHECK(a.public_key != b.public_key);
  CHECK(a.secret_key != a.public_key);
}

TEST_CASE("curve_key: what is not 40 characters of Z85 is no key") {
  CHECK_FALSE(is_z85_key(""));
  CHECK_FALSE(is_z85_key(std::string(39, '0')));
  CHECK_FALSE(is_z85_key(std::string(41, '0')));
  CHECK_FALSE(is_z85_key(std::string(40, '~')));
  CHECK_FALSE(is_z85_key(std::string(40, '\xff')));
  CHECK_FALSE(is_z85_key(std::string(40, '#')));  // five of the last digit are over 2^32
  CHECK(is_z85_key(std::string(40, '0')));
}

TEST_CASE("curve_key: a saved pair comes back, and only its owner can read the file") {
  const Folder folder;
  const CurveKeyPair pair = make_curve_key_pair();
  REQUIRE(save_key_pair(folder.file("key"), pair).has_value());
  struct stat status {};
  REQUIRE(::stat(folder.file("key").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  const auto loaded = load_key_pair(folder.file("key"));
  REQUIRE(loaded.has_value());
  CHECK(loaded.value().public_key == pair.public_key);
  CHECK(loaded.value().secret_key == pair.secret_key);
}

TEST_CASE("curve_key: saving never replaces a key file") {
  const Folder folder;
  const CurveKeyPair pair = make_curve_key_pair();
  REQUIRE(save_key_pair(folder.file("key"), pair).has_value());
  const auto again = save_key_pair(folder.file("key"), make_curve_key_pair());
  REQUIRE(again.has_error());
  CHECK(again.error().message.find("exists already") != std::string::npos);
  CHECK(load_key_pair(folder.file("key")).value().public_key == pair.public_key);
}

TEST_CASE("curve_key: a file that others can read is refused, with the remedy") {
  const Folder folder;
  REQUIRE(save_key_pair(folder.file("key"), make_curve_key_pair()).has_value());
  REQUIRE(::chmod(folder.file("key").c_str(), 0640) == 0);
  const auto loaded = load_key_pair(folder.file("key"));
  REQUIRE(loaded.has_error());
  CHECK(loaded.error().kind == ErrorKind::kConfiguration);
  CHECK(loaded.error().message.find("chmod 600") != std::string::npos);
}

TEST_CASE("curve_key: damaged, mismatched and missing files are refused") {
  const Folder folder;
  const CurveKeyPair a = make_curve_key_pair();
  const CurveKeyPair b = make_curve_key_pair();
  write(folder.file("empty"), "");
  write(folder.file("half"), "public: " + a.public_key + "\n");
  write(folder.file("mixed"), "public: " + a.public_key + "\nsecret: " + b.secret_key + "\n");
  write(folder.file("large"), std::string(10'000, 'x'));
  for (const char* name : {"empty", "half", "mixed", "large", "missing"}) {
    CAPTURE(name);
    CHECK(load_key_pair(folder.file(name)).has_error());
  }
  write(folder.file("spaced"),
        "# ours\nsecret:\t" + a.secret_key + "  \r\npublic: " + a.public_key);
  CHECK(load_key_pair(folder.file("spaced")).has_value());
}

TEST_CASE("curve_key: load_or_make makes the file once") {
  const Folder folder;
  const auto first = load_or_make_key_pair(folder.file("key"));
  const auto second = load_or_make_key_pair(folder.file("key"));
  REQUIRE(first.has_value());
  REQUIRE(second.has_value());
  CHECK(first.value().public_key == second.value().public_key);
  const auto nowhere = load_or_make_key_pair(folder.file("no/such/key"));
  REQUIRE(nowhere.has_error());
  CHECK(nowhere.error().message.find("no/such/key") != std::string::npos);
}

}  // namespace
}  // namespace longhaul::proto
