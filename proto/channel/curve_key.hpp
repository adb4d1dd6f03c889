// CURVE key pairs and the files they live in.
#pragma once

#include "proto/error.hpp"

#include <filesystem>
#include <string>

namespace longhaul::proto {

// Z85 text of 40 characters each, as ZeroMQ takes them.
struct CurveKeyPair {
  std::string public_key;
  std::string secret_key;
};

[[nodiscard]] CurveKeyPair make_curve_key_pair();
[[nodiscard]] bool is_z85_key(const std::string& text);

// The file is YAML-like text, `public: ...` and `secret: ...`, mode 0600. save_ refuses to
// overwrite; load_ refuses a file that others can read.
[[nodiscard]] Result<void> save_key_pair(const std::filesystem::path& file,
                                         const CurveKeyPair& pair);
[[nodiscard]] Result<CurveKeyPair> load_key_pair(const std::filesystem::path& file);
[[nodiscard]] Result<CurveKeyPair> load_or_make_key_pair(const std::filesystem::path& file);

}  // namespace longhaul::proto
