// Reading a mapping by its table.
#include "daemon/configuration/table.hpp"

#include "daemon/configuration/printable.hpp"
#include "proto/assert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

namespace longhaul::daemon {
namespace {

std::string child_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

// Levenshtein's distance, with the swap of two neighbours as one edit.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before = above;
    above = row;
  }
  return above[b.size()];
}

// Where below `description` a mapping has the key: "training.optimizer"; nothing if nowhere.
std::optional<std::string> find_home(const MappingDescription& description, std::string_view key,
                                     const std::string& path) {
  for (const KeyDescription& child : description.keys) {
    if (child.mapping == nullptr) continue;
    const std::string inner = child_path(path, child.key);
    const auto is_key = [&](const KeyDescription& k) { return k.key == key; };
    const auto& keys = child.mapping->keys;
    if (std::any_of(keys.begin(), keys.end(), is_key)) return inner;
    if (auto found = find_home(*child.mapping, key, inner)) return found;
  }
  return std::nullopt;
}

std::string unknown_key(const MappingDescription& description, const std::string& path,
                        const std::string& key) {
  std::string message = fmt::format("unknown key `{}`", printable(key));
  if (const std::string_view near = nearest_key(description, key); !near.empty()) {
    return message + fmt::format("; did you mean `{}`?", near);
  }
  if (const auto home = find_home(description, key, path)) {
    return message + fmt::format("; it belongs into `{}`", *home);
  }
  std::string known;
  for (const KeyDescription& k : description.keys) {
    known += fmt::format("{}`{}`", known.empty() ? "" : ", ", k.key);
  }
  return message + "; known here: " + known;
}

// What a key that is missing stands for: its default, or an empty mapping with defaults of its own.
std::optional<YamlNode> missing_value(const KeyDescription& key, Position position) {
  if (key.presence.kind == Presence::Kind::kDefault) {
    auto value = parse_yaml(key.presence.text, "");
    LONGHAUL_ASSERT(value.has_value());
    return std::move(*value);
  }
  if (key.mapping != nullptr && !key.list) {
    return YamlNode{.kind = YamlNode::Kind::kMapping, .position = position};
  }
  return std::nullopt;
}

}  // namespace

std::string_view nearest_key(const MappingDescription& description, std::string_view key) {
  std::string_view nearest;
  std::size_t least = std::min<std::size_t>(3, std::max<std::size_t>(2, key.size() / 2));
  if (key.size() > 64) return nearest;
  for (const KeyDescription& candidate : description.keys) {
    const std::size_t distance = edit_distance(key, candidate.key);
    if (distance < least) {
      least = distance;
      nearest = candidate.key;
    }
  }
  return nearest;
}

void read_mapping(
    Reading& reading, const MappingDescription& description, const YamlNode& node,
    const std::string& path,
    const std::function<void(std::size_t, const YamlNode&, const std::string&)>& read_key) {
  if (node.kind != YamlNode::Kind::kMapping && node.kind != YamlNode::Kind::kNull) {
    report_wrong(reading, node, path.empty() ? "the file" : path,
                 path.empty() ? "a mapping of keys to values" : "a mapping");
    reading.mark_wrong(path);
    return;
  }
  std::vector<const YamlMember*> present(description.keys.size(), nullptr);
  for (const YamlMember& member : node.members) {
    const auto key = std::find_if(description.keys.begin(), description.keys.end(),
                                  [&](const KeyDescription& k) { return k.key == member.key; });
    if (key == description.keys.end()) {
      reading.error(member.position, unknown_key(description, path, member.key));
      continue;
    }
    const YamlMember*& first = present[static_cast<std::size_t>(key - description.keys.begin())];
    if (first != nullptr) {
      reading.error(member.position, fmt::format("duplicate key `{}`; it stands in line {} already",
                                                 member.key, first->position.line));
    } else {
      first = &member;
    }
  }
  for (std::size_t i = 0; i < present.size(); ++i) {
    const KeyDescription& key = description.keys[i];
    const std::string key_path = child_path(path, key.key);
    if (const YamlMember* member = present[i]) {
      // A block mapping begins at its first key; its own key is the better place to point at.
      reading.found(key_path, key.mapping != nullptr ? member->position : member->value.position);
      read_key(i, member->value, key_path);
    } else if (key.presence.kind == Presence::Kind::kRequired) {
      reading.error(reading.position(path),
                    fmt::format("missing key `{}`: {}", key_path, key.documentation));
      reading.mark_wrong(key_path);
    } else if (const auto value = missing_value(key, reading.position(path))) {
      read_key(i, *value, key_path);
    }
  }
}

}  // namespace longhaul::daemon
