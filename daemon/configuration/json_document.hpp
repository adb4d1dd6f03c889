// A JSON file as the tree that YAML files become, in which everything knows its place.
#pragma once

#include "daemon/configuration/diagnostic.hpp"
#include "daemon/configuration/yaml_document.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace longhaul::daemon {

inline constexpr std::size_t kMaxJsonBytes = 16u << 20;
inline constexpr std::size_t kMaxJsonDepth = 32;
inline constexpr std::size_t kMaxJsonNodes = 1'000'000;

// The one value in `text`: an object is kMapping, an array kSequence, a string a quoted kScalar; a
// number, true and false are plain kScalars as they are written. Keys may repeat. `file` goes into
// the diagnostics: what is no JSON, too large or too deep.
[[nodiscard]] Checked<YamlNode> parse_json(std::string_view text, const std::string& file);

}  // namespace longhaul::daemon
