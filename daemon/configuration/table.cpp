// Reading a mapping by its table.
#include "daemon/configuration/table.hpp"

#include "proto/assert.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace longhaul::daemon {
namespace {

std::string child_path(const std::string& path, std::string_view key) {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
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
  std::vector<std::string_view> known;
  for (const KeyDescription& k : description.keys) known.push_back(k.key);
  const std::string message = "unknown key " + proto::quoted(key);
  if (std::string hint = proto::did_you_mean(key, known); !hint.empty()) return message + hint;
  if (const auto home = find_home(description, key, path)) {
    return message + fmt::format("; it belongs into '{}'", *home);
  }
  return message + fmt::format("; known here: {}", fmt::join(known, ", "));
}

// The documentation is Markdown; in a message its `code` reads 'code'.
std::string plain(std::string_view documentation) {
  std::string text(documentation);
  std::replace(text.begin(), text.end(), '`', '\'');
  return text;
}

// What a key that is missing stands for: its default, or an empty mapping with defaults of its own.
std::optional<YamlNode> missing_value(const KeyDescription& key, Position position) {
  if (key.presence.kind == Presence::Kind::kDefault) {
    auto value = parse_yaml(key.presence.text, "");
    LONGHAUL_ASSERT(value.has_value());
    return std::move(*value);
  }
  if (key.mapping != nullptr && !key.list) {
    YamlNode empty;
    empty.position = position;
    return empty;
  }
  return std::nullopt;
}

}  // namespace

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
      reading.error(member.position, fmt::format("duplicate key '{}'; it stands in line {} already",
                                                 member.key, first->position.line));
    } else {
      first = &member;
    }
  }
  for (std::size_t i = 0; i < present.size(); ++i) {
    const KeyDescription& key = description.keys[i];
    const std::string key_path = child_path(path, key.key);
    if (const YamlMember* member = present[i]) {
      // A block mapping begins at its first key, an empty value wherever the parser noticed: the
      // key is the better place to point at.
      const bool at_key = key.mapping != nullptr || member->value.kind == YamlNode::Kind::kNull;
      reading.found(key_path, at_key ? member->position : member->value.position);
      read_key(i, member->value, key_path);
    } else if (key.presence.kind == Presence::Kind::kRequired) {
      reading.error(reading.position(path),
                    fmt::format("missing key '{}': {}", key_path, plain(key.documentation)));
      reading.mark_wrong(key_path);
    } else if (const auto value = missing_value(key, reading.position(path))) {
      read_key(i, *value, key_path);
    }
  }
}

}  // namespace longhaul::daemon
