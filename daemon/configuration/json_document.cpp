// nlohmann-json tells what it reads but not where; an iterator that counts tells where.
#include "daemon/configuration/json_document.hpp"

#include "daemon/configuration/printable.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

namespace longhaul::daemon {
namespace {

using Json = nlohmann::json;

// The parser's way through the text; every copy moves the same count.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, std::size_t* consumed) : at_(at), consumed_(consumed) {}

  reference operator*() const { return *at_; }
  Cursor& operator++() {
    ++at_;
    ++*consumed_;
    return *this;
  }
  Cursor operator++(int) {
    const Cursor before = *this;
    ++*this;
    return before;
  }
  bool operator==(const Cursor& other) const { return at_ == other.at_; }

 private:
  const char* at_;
  std::size_t* consumed_;
};

bool belongs_to_number(char c) {
  return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

// Offsets become positions; calls come with ascending offsets nearly always.
class Places {
 public:
  explicit Places(std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') line_starts_.push_back(i + 1);
    }
  }
  [[nodiscard]] Position at(std::size_t offset) const {
    const auto next = std::upper_bound(line_starts_.begin(), line_starts_.end(), offset);
    const auto line = static_cast<std::size_t>(next - line_starts_.begin());
    return {line, offset - line_starts_[line - 1] + 1};
  }

 private:
  std::vector<std::size_t> line_starts_{0};
};

// nlohmann-json's SAX interface.
class Builder {
 public:
  Builder(std::string_view text, const std::size_t& consumed)
      : text_(text), places_(text), consumed_(consumed) {}

  bool null() { return add(YamlNode::Kind::kNull, {}, word_start(4)); }
  bool boolean(bool value) {
    const std::string_view word = value ? "true" : "false";
    return add(YamlNode::Kind::kScalar, std::string(word), word_start(word.size()));
  }
  bool number_integer(std::int64_t) { return number(); }
  bool number_unsigned(std::uint64_t) { return number(); }
  bool number_float(double, const std::string&) { return number(); }
  bool string(std::string& value) {
    return add(YamlNode::Kind::kScalar, std::move(value), string_start(), true);
  }
  bool binary(Json::binary_t&) { return false; }
  bool start_object(std::size_t) { return open(YamlNode::Kind::kMapping); }
  bool start_array(std::size_t) { return open(YamlNode::Kind::kSequence); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }
  bool key(std::string& value) {
    open_.back().members.push_back(
        {.key = std::move(value), .position = places_.at(string_start()), .value = {}});
    return true;
  }
  bool parse_error(std::size_t read, const std::string&, const Json::exception& error) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: what is wrong"
    std::string_view message = error.what();
    for (const std::string_view end : {"] ", ": "}) {
      const std::size_t at = message.find(end);
      if (at != std::string_view::npos) message.remove_prefix(at + end.size());
    }
    const std::size_t last = read == 0 ? 0 : read - 1;
    refuse(std::min(last, text_.size()), "not valid JSON: " + printable(message, 200));
    return false;
  }

  [[nodiscard]] const std::optional<Diagnostic>& refused() const { return refused_; }
  YamlNode take_root() { return std::move(root_); }

 private:
  bool number() {
    // The parser has read one byte more, unless the text ends here.
    std::size_t end = consumed_;
    while (end > 0 && !belongs_to_number(text_[end - 1])) --end;
    std::size_t start = end;
    while (start > 0 && belongs_to_number(text_[start - 1])) --start;
    return add(YamlNode::Kind::kScalar, std::string(text_.substr(start, end - start)), start);
  }

  [[nodiscard]] std::size_t word_start(std::size_t length) const {
    return consumed_ - std::min(length, consumed_);
  }

  // Quotes inside a string stand behind an odd number of backslashes.
  [[nodiscard]] std::size_t string_start() const {
    std::size_t at = consumed_ - std::min<std::size_t>(1, consumed_);
    while (at > 0) {
      if (text_[--at] != '"') continue;
      std::size_t slashes = 0;
      while (slashes < at && text_[at - 1 - slashes] == '\\') ++slashes;
      if (slashes % 2 == 0) break;
    }
    return at;
  }

  bool refuse(std::size_t offset, std::string message) {
    if (!refused_) refused_ = {{}, places_.at(offset), std::move(message)};
    return false;
  }

  bool open(YamlNode::Kind kind) {
    if (open_.size() == kMaxJsonDepth) {
      return refuse(word_start(1), fmt::format("nested deeper than {} levels", kMaxJsonDepth));
    }
    open_.emplace_back();
    open_.back().kind = kind;
    open_.back().position = places_.at(word_start(1));
    return true;
  }

  bool close() {
    YamlNode closed = std::move(open_.back());
    open_.pop_back();
    return place(std::move(closed));
  }

  bool add(YamlNode::Kind kind, std::string text, std::size_t offset, bool quoted = false) {
    YamlNode node;
    node.kind = kind;
    node.position = places_.at(offset);
    node.text = std::move(text);
    node.quoted = quoted;
    return place(std::move(node));
  }

  bool place(YamlNode node) {
    if (++nodes_ > kMaxJsonNodes) {
      return refuse(consumed_, fmt::format("more than {} values", kMaxJsonNodes));
    }
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (open_.back().kind == YamlNode::Kind::kSequence) {
      open_.back().items.push_back(std::move(node));
    } else {
      open_.back().members.back().value = std::move(node);
    }
    return true;
  }

  std::string_view text_;
  Places places_;
  const std::size_t& consumed_;
  std::vector<YamlNode> open_;
  YamlNode root_;
  std::size_t nodes_ = 0;
  std::optional<Diagnostic> refused_;
};

}  // namespace

Checked<YamlNode> parse_json(std::string_view text, const std::string& file) {
  if (text.size() > kMaxJsonBytes) {
    return Diagnostics{
        {{file, {}, fmt::format("larger than the {} bytes that it may have", kMaxJsonBytes)}}};
  }
  std::size_t consumed = 0;
  Builder builder(text, consumed);
  const char* end = text.data() + text.size();
  const bool good =
      Json::sax_parse(Cursor(text.data(), &consumed), Cursor(end, &consumed), &builder);
  if (good) return builder.take_root();
  Diagnostic refused = builder.refused().value_or(Diagnostic{{}, {1, 1}, "not valid JSON"});
  refused.file = file;
  return Diagnostics{{std::move(refused)}};
}

}  // namespace longhaul::daemon
