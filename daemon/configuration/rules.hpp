// What a value may be: each rule reads one, complains about it at its place, and describes itself
// for messages and for the reference.
#pragma once

#include "daemon/configuration/reading.hpp"
#include "daemon/configuration/yaml_document.hpp"

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace longhaul::daemon {

// A rule has: using Value; describe(), a noun phrase that fits behind "must be"; and
// read(), which is empty after it reported an error.

struct Integer {
  using Value = std::uint64_t;
  std::uint64_t minimum = 0;
  std::uint64_t maximum = std::numeric_limits<std::uint64_t>::max();

  [[nodiscard]] std::string describe() const;
  std::optional<Value> read(Reading& reading, const YamlNode& node, const std::string& path) const;
};

struct Real {
  using Value = double;
  double minimum = 0.0;
  double maximum = std::numeric_limits<double>::infinity();
  bool above_minimum = false;  // the minimum itself is out
  bool below_maximum = false;  // the maximum itself is out

  [[nodiscard]] std::string describe() const;
  std::optional<Value> read(Reading& reading, const YamlNode& node, const std::string& path) const;
};

// One of a few words.
struct Word {
  using Value = std::string;
  std::vector<std::string_view> words;

  [[nodiscard]] std::string describe() const;
  std::optional<Value> read(Reading& reading, const YamlNode& node, const std::string& path) const;
};

// One of a few words that stand for values.
template <class T>
struct Choice {
  using Value = T;
  std::vector<std::pair<std::string_view, T>> choices;

  [[nodiscard]] std::string describe() const { return words().describe(); }
  std::optional<T> read(Reading& reading, const YamlNode& node, const std::string& path) const {
    const auto word = words().read(reading, node, path);
    for (const auto& [name, value] : choices) {
      if (word && *word == name) return value;
    }
    return std::nullopt;
  }

  [[nodiscard]] Word words() const {
    Word result;
    for (const auto& choice : choices) result.words.push_back(choice.first);
    return result;
  }
};

// Any text that `accepts`.
struct Text {
  using Value = std::string;
  std::string_view description = "text";
  bool (*accepts)(std::string_view) = [](std::string_view text) { return !text.empty(); };

  [[nodiscard]] std::string describe() const { return std::string(description); }
  std::optional<Value> read(Reading& reading, const YamlNode& node, const std::string& path) const;
};

// A path, made absolute; relative ones are taken from the file's folder.
struct Path {
  enum class Must { kBeAnything, kBeFile, kBeFolder };
  using Value = std::string;
  Must must = Must::kBeAnything;

  [[nodiscard]] std::string describe() const;
  std::optional<Value> read(Reading& reading, const YamlNode& node, const std::string& path) const;
};

// A list of paths with *, ? and [...] in them, or a single one: every file they match, absolute,
// sorted, each once. A pattern without a match is an error, and so is another suffix.
struct Files {
  using Value = std::vector<std::string>;
  std::vector<std::string_view> suffixes;

  [[nodiscard]] std::string describe() const;
  std::optional<Value> read(Reading& reading, const YamlNode& node, const std::string& path) const;
};

// Reports "PATH must be EXPECTED, not WHAT IS THERE".
void report_wrong(Reading& reading, const YamlNode& node, const std::string& path,
                  std::string_view expected);

// Calls `read_item` with every item and its path; false if `node` is no list of so many items.
bool read_items(Reading& reading, const YamlNode& node, const std::string& path,
                std::string_view expected, std::size_t minimum, std::size_t maximum,
                const std::function<void(const YamlNode&, const std::string&)>& read_item);

template <class Rule>
struct ListOf {
  using Value = std::vector<typename Rule::Value>;
  Rule item;
  std::size_t minimum = 0;
  std::size_t maximum = 1000;
  std::string_view description = "a list";

  [[nodiscard]] std::string describe() const {
    return std::string(description) + ", each " + item.describe();
  }
  std::optional<Value> read(Reading& reading, const YamlNode& node, const std::string& path) const {
    Value values;
    bool complete = true;
    const auto read_item = [&](const YamlNode& child, const std::string& child_path) {
      auto value = item.read(reading, child, child_path);
      if (value) values.push_back(std::move(*value));
      complete = complete && value.has_value();
    };
    if (!read_items(reading, node, path, description, minimum, maximum, read_item) || !complete) {
      return std::nullopt;
    }
    return values;
  }
};

// Names of jobs, nodes, sites and peers: 1 to 128 letters, digits, '.', '_' or '-', not beginning
// with a '.' or '-'.
[[nodiscard]] bool is_name(std::string_view text);
// "cpu", or "cuda:0" and so on.
[[nodiscard]] bool is_device(std::string_view text);
inline constexpr Text kDevice{"cpu or cuda:N", is_device};
inline constexpr Text kName{"a name of at most 128 letters, digits, '.', '_' and '-'", is_name};

}  // namespace longhaul::daemon
