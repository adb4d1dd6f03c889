// The tree is built from yaml-cpp's events rather than its nodes: those drop the places of keys,
// merge duplicate ones and share what an alias names.
#include "daemon/configuration/yaml_document.hpp"

#include "daemon/configuration/printable.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <sstream>
#include <utility>

namespace longhaul::daemon {
namespace {

struct Refused {
  Position position;
  std::string message;
};

Position position_of(const YAML::Mark& mark) {
  if (mark.is_null()) return {};
  return {static_cast<std::size_t>(mark.line) + 1, static_cast<std::size_t>(mark.column) + 1};
}

class TreeBuilder final : public YAML::EventHandler {
 public:
  YamlNode take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 2) {
      throw Refused{position_of(mark), "a second YAML document begins here; a file holds one"};
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t) override {
    add(node(YamlNode::Kind::kNull, mark));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse_alias(position_of(mark)); }
  void OnAnchor(const YAML::Mark& mark, const std::string&) override {
    refuse_alias(position_of(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                const std::string& value) override {
    // yaml-cpp's tag of a plain scalar is "?", that of a quoted one "!".
    if (tag != "?" && tag != "!") refuse_tag(mark, tag);
    YamlNode scalar = node(YamlNode::Kind::kScalar, mark);
    scalar.text = value;
    scalar.quoted = tag == "!";
    add(std::move(scalar));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {
    if (!tag.empty() && tag != "?") refuse_tag(mark, tag);
    open(node(YamlNode::Kind::kSequence, mark));
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {
    if (!tag.empty() && tag != "?") refuse_tag(mark, tag);
    open(node(YamlNode::Kind::kMapping, mark));
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    bool has_key = false;  // kMapping: the next event is the value of the last member
  };

  static YamlNode node(YamlNode::Kind kind, const YAML::Mark& mark) {
    YamlNode result;
    result.kind = kind;
    result.position = position_of(mark);
    return result;
  }

  [[noreturn]] static void refuse_alias(Position position) {
    throw Refused{position, "anchors and aliases are not supported; write the value out"};
  }
  [[noreturn]] static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    throw Refused{position_of(mark),
                  fmt::format("the tag {} is not supported; leave it out", proto::quoted(tag))};
  }

  void open(YamlNode opened) {
    if (expects_key())
      throw Refused{opened.position, "a key must be text, not a list or a mapping"};
    if (open_.size() == kMaxYamlDepth) {
      throw Refused{opened.position, fmt::format("nested deeper than {} levels", kMaxYamlDepth)};
    }
    open_.push_back({std::move(opened)});
  }

  void close() {
    YamlNode closed = std::move(open_.back().node);
    open_.pop_back();
    add(std::move(closed));
  }

  void add(YamlNode added) {
    if (++nodes_ > kMaxYamlNodes) {
      throw Refused{added.position, fmt::format("more than {} values", kMaxYamlNodes)};
    }
    if (open_.empty()) {
      root_ = std::move(added);
    } else if (open_.back().node.kind == YamlNode::Kind::kSequence) {
      open_.back().node.items.push_back(std::move(added));
    } else if (expects_key()) {
      if (added.kind == YamlNode::Kind::kNull)
        throw Refused{added.position, "a key is missing here"};
      open_.back().node.members.push_back(
          {.key = std::move(added.text), .position = added.position, .value = {}});
      open_.back().has_key = true;
    } else {
      open_.back().node.members.back().value = std::move(added);
      open_.back().has_key = false;
    }
  }

  [[nodiscard]] bool expects_key() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::kMapping &&
           !open_.back().has_key;
  }

  std::vector<Open> open_;
  YamlNode root_;
  std::size_t nodes_ = 0;
  std::size_t documents_ = 0;
};

}  // namespace

Checked<YamlNode> parse_yaml(std::string_view text, const std::string& file) {
  const auto fail = [&](Position position, std::string message) {
    return Diagnostics{{{file, position, std::move(message)}}};
  };
  if (text.size() > kMaxYamlBytes) {
    return fail({}, fmt::format("larger than the {} bytes that a configuration file may have",
                                kMaxYamlBytes));
  }
  if (const std::size_t zero = text.find('\0'); zero != std::string_view::npos) {
    return fail({}, fmt::format("not YAML: byte {} is zero", zero));
  }
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder;
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take_root();
  } catch (const Refused& refused) {
    return fail(refused.position, refused.message);
  } catch (const YAML::Exception& error) {
    return fail(position_of(error.mark), "not valid YAML: " + printable(error.msg));
  }
}

}  // namespace longhaul::daemon
