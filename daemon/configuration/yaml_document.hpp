// A YAML file as a tree in which everything knows its place. Bounded in size, depth and count;
// without anchors, aliases and tags, so that no small file unfolds into a large one.
#pragma once

#include "daemon/configuration/diagnostic.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::daemon {

inline constexpr std::size_t kMaxYamlBytes = 1u << 20;
inline constexpr std::size_t kMaxYamlDepth = 32;
inline constexpr std::size_t kMaxYamlNodes = 100'000;

struct YamlMember;

struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMapping };

  Kind kind = Kind::kNull;
  Position position;
  std::string text;     // kScalar
  bool quoted = false;  // kScalar: written in quotes or as a block, hence text and no number
  std::vector<YamlNode> items;      // kSequence
  std::vector<YamlMember> members;  // kMapping, in the file's order; keys may repeat
};

struct YamlMember {
  std::string key;
  Position position;  // of the key
  YamlNode value;
};

// The one document in `text`; an empty one is kNull. `file` goes into the diagnostics.
[[nodiscard]] Checked<YamlNode> parse_yaml(std::string_view text, const std::string& file);

}  // namespace longhaul::daemon
