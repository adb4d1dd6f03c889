// A temporary folder with files, for tests, and the fixture tokeniser's place.
#pragma once

#include "proto/job.pb.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::compnode::testing {

namespace fs = std::filesystem;

// 275 tokens: the bytes, 18 merges and <|endoftext|> (274).
inline const fs::path kFixture = LONGHAUL_FIXTURE;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "longhaul-data-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path_); }

  [[nodiscard]] const fs::path& path() const { return path_; }
  std::string write(const std::string& name, std::string_view bytes) const {
    std::ofstream(path_ / name, std::ios::binary) << bytes;
    return (path_ / name).string();
  }

 private:
  fs::path path_;
};

inline std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class Integer>
std::string as_bytes(const std::vector<Integer>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(Integer)};
}

template <class Integer>
std::vector<Integer> read_integers(const fs::path& path) {
  const std::string bytes = read_file(path);
  std::vector<Integer> values(bytes.size() / sizeof(Integer));
  std::copy_n(bytes.data(), values.size() * sizeof(Integer),
              reinterpret_cast<char*>(values.data()));
  return values;
}

inline wire::DataSource source(const Folder& folder, std::vector<std::string> files) {
  wire::DataSource result;
  for (std::string& file : files) result.add_train(std::move(file));
  result.set_text_field("text");
  result.set_tokenizer(kFixture.string());
  result.set_token_bits(16);
  result.set_sequence_length(4);
  result.set_cache((folder.path() / "cache").string());
  return result;
}

}  // namespace longhaul::compnode::testing
