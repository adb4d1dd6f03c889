// The table of a mapping's keys: one entry says what a key may hold, what it defaults to, where its
// value goes and what it means. Reading, error messages and the reference all come from it.
#pragma once

#include "daemon/configuration/json_document.hpp"
#include "daemon/configuration/reading.hpp"
#include "daemon/configuration/rules.hpp"
#include "daemon/configuration/yaml_document.hpp"

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace longhaul::daemon {

// Whether a key may be missing, and what holds then.
struct Presence {
  enum class Kind { kRequired, kDefault, kOptional };
  Kind kind = Kind::kRequired;
  std::string_view text;  // kDefault: YAML; kOptional: in words, what a missing key means
};
inline constexpr Presence required{Presence::Kind::kRequired, {}};
constexpr Presence otherwise(std::string_view yaml) { return {Presence::Kind::kDefault, yaml}; }
constexpr Presence or_else(std::string_view words) { return {Presence::Kind::kOptional, words}; }

struct MappingDescription;

struct KeyDescription {
  std::string_view key;
  std::string expected;  // fits behind "must be"
  Presence presence;
  std::string_view documentation;
  const MappingDescription* mapping = nullptr;  // of the value, or of each item of the list
  bool list = false;
};

struct MappingDescription {
  std::string_view title;
  std::vector<KeyDescription> keys;
};

// Reads `node`, which is empty where the file leaves an optional mapping out. `read_key` takes an
// index into the description's keys, the key's value and path.
void read_mapping(
    Reading& reading, const MappingDescription& description, const YamlNode& node,
    const std::string& path,
    const std::function<void(std::size_t, const YamlNode&, const std::string&)>& read_key);

template <class T>
class Table : public MappingDescription {
 public:
  struct Entry {
    KeyDescription description;
    std::function<void(Reading&, const YamlNode&, const std::string&, T&)> read;

    // `store` is a data member, a setter, a function that returns a pointer to the place, or any
    // function of T& and the value.
    template <class Rule, class Store>
    Entry(std::string_view key, Rule rule, Presence presence, Store store,
          std::string_view documentation)
        : description{key, rule.describe(), presence, documentation},
          read([rule = std::move(rule), store](Reading& reading, const YamlNode& node,
                                               const std::string& path, T& target) {
            if (auto value = rule.read(reading, node, path)) {
              put(target, store, std::move(*value));
            }
          }) {}

    // A mapping within the mapping; `place` is a data member or returns a pointer to one.
    template <class U, class Store>
    Entry(std::string_view key, const Table<U>& table, Presence presence, Store place,
          std::string_view documentation)
        : description{key, "a mapping", presence, documentation, &table},
          read([&table, place](Reading& reading, const YamlNode& node, const std::string& path,
                               T& target) {
            table.read(reading, node, path, locate(target, place));
          }) {}

    // A list of mappings, into a vector.
    template <class U>
    Entry(std::string_view key, const Table<U>& table, Presence presence, std::vector<U> T::*items,
          std::string_view documentation)
        : description{key, "a list of mappings", presence, documentation, &table, true},
          read([&table, items](Reading& reading, const YamlNode& node, const std::string& path,
                               T& target) {
            read_items(reading, node, path, "a list of mappings", 0, 10'000,
                       [&](const YamlNode& item, const std::string& item_path) {
                         table.read(reading, item, item_path, (target.*items).emplace_back());
                       });
          }) {}
  };

  Table(std::string_view name, std::initializer_list<Entry> list) {
    title = name;
    for (const Entry& entry : list) {
      keys.push_back(entry.description);
      readers_.push_back(entry.read);
    }
  }

  void read(Reading& reading, const YamlNode& node, const std::string& path, T& target) const {
    read_mapping(reading, *this, node, path,
                 [&](std::size_t index, const YamlNode& value, const std::string& value_path) {
                   readers_[index](reading, value, value_path, target);
                 });
  }

 private:
  template <class Store, class Value>
  static void put(T& target, const Store& store, Value value) {
    if constexpr (std::is_invocable_v<Store, T&, Value>) {
      std::invoke(store, target, std::move(value));
    } else {
      auto& place = locate(target, store);
      using Place = std::remove_reference_t<decltype(place)>;
      if constexpr (std::is_arithmetic_v<Place>) {
        place = static_cast<Place>(value);  // the rule's range fits
      } else {
        place = std::move(value);
      }
    }
  }

  template <class Store>
  static auto& locate(T& target, const Store& store) {
    if constexpr (std::is_pointer_v<std::invoke_result_t<Store, T&>>) {
      return *std::invoke(store, target);
    } else {
      return std::invoke(store, target);
    }
  }

  std::vector<std::function<void(Reading&, const YamlNode&, const std::string&, T&)>> readers_;
};

// A file's text as a tree, and at most so many bytes of it: parse_yaml or parse_json.
struct FileFormat {
  Checked<YamlNode> (*parse)(std::string_view text, const std::string& file) = parse_yaml;
  std::size_t most_bytes = kMaxYamlBytes;
};
inline constexpr FileFormat kJsonFile{.parse = parse_json, .most_bytes = kMaxJsonBytes};

// Reads a file's text into a T; `check` then looks at what must hold between keys.
template <class T>
Checked<T> parse_file(std::string_view text, const std::filesystem::path& file,
                      const Table<T>& table, const std::function<void(Reading&, T&)>& check,
                      const FileFormat& format = {}) {
  const auto root = format.parse(text, file.string());
  if (!root) return root.error();
  Reading reading(file);
  T value;
  reading.found("", root->position);
  table.read(reading, *root, "", value);
  check(reading, value);
  if (reading.failed()) return reading.take_diagnostics();
  return value;
}

// The same of a file that is there.
template <class T>
Checked<T> load_file(const std::filesystem::path& file, const Table<T>& table,
                     const std::function<void(Reading&, T&)>& check,
                     const FileFormat& format = {}) {
  auto text = read_text(file, format.most_bytes);
  if (!text) return text.error();
  return parse_file<T>(*text, file, table, check, format);
}

}  // namespace longhaul::daemon
