// Reading single values.
#include "daemon/configuration/rules.hpp"

#include "daemon/configuration/printable.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>
#include <glob.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

namespace longhaul::daemon {
namespace {

std::string describe_found(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "empty";
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMapping:
      return "a mapping";
    case YamlNode::Kind::kScalar:
      break;
  }
  return (node.quoted ? "the text " : "") + proto::quoted(node.text);
}

// The whole text as a number; a leading '+' is YAML's, not from_chars's.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('+')) return std::nullopt;
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_plain(const YamlNode& node) { return node.kind == YamlNode::Kind::kScalar && !node.quoted; }

std::string join(const std::vector<std::string_view>& words) {
  std::string text;
  for (const std::string_view word : words) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", word);
  }
  return text;
}

std::optional<std::string> read_word(Reading& reading, const YamlNode& node,
                                     const std::string& path, const std::string& expected) {
  if (node.kind == YamlNode::Kind::kScalar) return node.text;
  report_wrong(reading, node, path, expected);
  return std::nullopt;
}

// What keeps the path from being what it must be.
std::optional<std::string> complaint(const std::filesystem::path& path, Path::Must must) {
  if (must == Path::Must::kBeAnything) return std::nullopt;
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) return "does not exist";
  if (error) return "cannot be read: " + error.message();
  const bool folder = std::filesystem::is_directory(status);
  if (must == Path::Must::kBeFolder && !folder) return "is not a folder";
  if (must == Path::Must::kBeFile && folder) return "is a folder, not a file";
  const int mode = folder ? R_OK | X_OK : R_OK;
  if (access(path.c_str(), mode) != 0) return "cannot be read: permission denied";
  return std::nullopt;
}

// The files that a pattern matches, sorted; empty if there are none. `folder` is taken as it is.
std::vector<std::string> expand_glob(const std::filesystem::path& folder,
                                     std::string_view pattern) {
  std::string whole;
  for (const char c : folder.string()) {
    if (std::string_view("*?[]\\").find(c) != std::string_view::npos) whole += '\\';
    whole += c;
  }
  whole.append("/").append(pattern);
  glob_t matches{};
  std::vector<std::string> files;
  if (glob(whole.c_str(), 0, nullptr, &matches) == 0) {
    for (std::size_t i = 0; i < matches.gl_pathc; ++i) {
      const std::filesystem::path match = matches.gl_pathv[i];
      std::error_code ignored;
      if (!std::filesystem::is_directory(match, ignored)) {
        files.push_back(match.lexically_normal().string());
      }
    }
  }
  globfree(&matches);
  return files;
}

}  // namespace

void report_wrong(Reading& reading, const YamlNode& node, const std::string& path,
                  std::string_view expected) {
  // Nothing stands where an empty value stands; its key is the better place to point at.
  if (node.kind != YamlNode::Kind::kNull) reading.found(path, node.position);
  reading.error_at(path,
                   fmt::format("{} must be {}, not {}", path, expected, describe_found(node)));
}

std::string Integer::describe() const {
  if (maximum == std::numeric_limits<std::uint64_t>::max()) {
    return fmt::format("an integer, at least {}", minimum);
  }
  return fmt::format("an integer from {} to {}", minimum, maximum);
}

std::optional<std::uint64_t> Integer::read(Reading& reading, const YamlNode& node,
                                           const std::string& path) const {
  if (is_plain(node)) {
    const auto number = parse_number<std::uint64_t>(node.text);
    if (number && *number >= minimum && *number <= maximum) return number;
  }
  report_wrong(reading, node, path, describe());
  return std::nullopt;
}

std::string Real::describe() const {
  std::string text =
      fmt::format("a number, {} {}", above_minimum ? "more than" : "at least", minimum);
  if (maximum != std::numeric_limits<double>::infinity()) {
    text += fmt::format(" and {} {}", below_maximum ? "less than" : "at most", maximum);
  }
  return text;
}

std::optional<double> Real::read(Reading& reading, const YamlNode& node,
                                 const std::string& path) const {
  if (is_plain(node)) {
    const auto number = parse_number<double>(node.text);
    // Comparisons with NaN are false; infinity is no setting either.
    if (number && (above_minimum ? *number > minimum : *number >= minimum) &&
        (below_maximum ? *number < maximum : *number <= maximum) &&
        *number < std::numeric_limits<double>::infinity()) {
      return number;
    }
  }
  report_wrong(reading, node, path, describe());
  return std::nullopt;
}

std::string Word::describe() const { return (words.size() == 1 ? "" : "one of ") + join(words); }

std::optional<std::string> Word::read(Reading& reading, const YamlNode& node,
                                      const std::string& path) const {
  auto word = read_word(reading, node, path, describe());
  if (!word || std::find(words.begin(), words.end(), *word) != words.end()) return word;
  report_wrong(reading, node, path, describe());
  return std::nullopt;
}

std::optional<std::string> Text::read(Reading& reading, const YamlNode& node,
                                      const std::string& path) const {
  auto text = read_word(reading, node, path, describe());
  if (!text || accepts(*text)) return text;
  report_wrong(reading, node, path, describe());
  return std::nullopt;
}

std::string Path::describe() const {
  switch (must) {
    case Must::kBeAnything:
      return "a path";
    case Must::kBeFile:
      return "the path of a file";
    case Must::kBeFolder:
      return "the path of a folder";
  }
  return {};
}

std::optional<std::string> Path::read(Reading& reading, const YamlNode& node,
                                      const std::string& path) const {
  const auto text = read_word(reading, node, path, describe());
  if (!text) return std::nullopt;
  if (text->empty()) {
    report_wrong(reading, node, path, describe());
    return std::nullopt;
  }
  const std::filesystem::path resolved = reading.resolve(*text);
  if (const auto wrong = complaint(resolved, must)) {
    reading.error_at(path, fmt::format("{} {}", printable(resolved.string(), 300), *wrong));
    return std::nullopt;
  }
  return resolved.string();
}

std::string Files::describe() const {
  return fmt::format("a list of paths, with * and ? if you like, of files that end in {}",
                     join(suffixes));
}

std::optional<std::vector<std::string>> Files::read(Reading& reading, const YamlNode& node,
                                                    const std::string& path) const {
  std::vector<std::string> files;
  bool good = true;
  const auto wrong = [&](const std::string& at, std::string message) {
    reading.error_at(at, std::move(message));
    good = false;
  };
  const auto read_pattern = [&](const YamlNode& item, const std::string& item_path) {
    const auto text = read_word(reading, item, item_path, "a path");
    if (!text) {
      good = false;
      return;
    }
    // A path without wildcards is taken as it is, so that its error says what is wrong with it.
    std::vector<std::string> matches;
    if (const std::size_t wild = text->find_first_of("*?["); wild == std::string::npos) {
      matches.push_back(reading.resolve(*text).string());
    } else {
      const std::size_t name = text->rfind('/', wild) + 1;  // 0 if there is no slash
      matches = expand_glob(reading.resolve(text->substr(0, name)), text->substr(name));
    }
    if (matches.empty()) {
      wrong(item_path,
            fmt::format("no file matches {}", printable(reading.resolve(*text).string(), 300)));
    }
    for (const std::string& match : matches) {
      const std::string suffix = std::filesystem::path(match).extension().string();
      if (const auto missing = complaint(match, Path::Must::kBeFile)) {
        wrong(item_path, fmt::format("{} {}", printable(match, 300), *missing));
      } else if (std::find(suffixes.begin(), suffixes.end(), suffix) == suffixes.end()) {
        wrong(item_path,
              fmt::format("{} does not end in one of {}", printable(match, 300), join(suffixes)));
      }
    }
    files.insert(files.end(), matches.begin(), matches.end());
  };
  if (node.kind == YamlNode::Kind::kScalar) {
    read_pattern(node, path);
  } else if (!read_items(reading, node, path, "a list of paths", 1, 10'000, read_pattern)) {
    return std::nullopt;
  }
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  if (!good) return std::nullopt;
  return files;
}

bool read_items(Reading& reading, const YamlNode& node, const std::string& path,
                std::string_view expected, std::size_t minimum, std::size_t maximum,
                const std::function<void(const YamlNode&, const std::string&)>& read_item) {
  if (node.kind != YamlNode::Kind::kSequence) {
    report_wrong(reading, node, path, expected);
    return false;
  }
  if (node.items.size() < minimum || node.items.size() > maximum) {
    const std::string range =
        minimum == maximum ? fmt::format("{}", minimum) : fmt::format("{} to {}", minimum, maximum);
    reading.error_at(path,
                     fmt::format("{} must have {} items, not {}", path, range, node.items.size()));
    return false;
  }
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const std::string item_path = fmt::format("{}[{}]", path, i);
    reading.found(item_path, node.items[i].position);
    read_item(node.items[i], item_path);
  }
  return true;
}

bool is_device(std::string_view text) {
  if (text == "cpu") return true;
  if (!text.starts_with("cuda:")) return false;
  text.remove_prefix(5);
  return !text.empty() && text.size() <= 3 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_name(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= 128 && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), fits);
}

}  // namespace longhaul::daemon
