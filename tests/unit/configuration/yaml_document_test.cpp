// The YAML tree: places, and what is refused before any schema sees it.
#include "daemon/configuration/yaml_document.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <random>

using namespace longhaul::daemon;

namespace {

std::string error_of(std::string_view yaml) {
  const auto parsed = parse_yaml(yaml, "f");
  return parsed ? "no error" : to_string(parsed.error());
}

}  // namespace

TEST_CASE("yaml: every key and value knows its place") {
  const auto root = parse_yaml("a: 1\nb:\n  - x\n  - {c: 'two'}\n", "f");
  REQUIRE(root.has_value());
  REQUIRE(root->members.size() == 2);
  CHECK(root->members[0].position == Position{1, 1});
  CHECK(root->members[0].value.position == Position{1, 4});
  CHECK(root->members[1].position == Position{2, 1});
  const YamlNode& list = root->members[1].value;
  REQUIRE(list.items.size() == 2);
  CHECK(list.items[0].position == Position{3, 5});
  const YamlMember& inner = list.items[1].members.at(0);
  CHECK(inner.position == Position{4, 6});
  CHECK(inner.value.text == "two");
  CHECK(inner.value.quoted);
  CHECK_FALSE(list.items[0].quoted);
}

TEST_CASE("yaml: an empty file is an empty document") {
  CHECK(parse_yaml("", "f").value().kind == YamlNode::Kind::kNull);
  CHECK(parse_yaml("# only a comment\n", "f").value().kind == YamlNode::Kind::kNull);
  CHECK(parse_yaml("a:\nb: ~\n", "f").value().members.at(1).value.kind == YamlNode::Kind::kNull);
}

TEST_CASE("yaml: a repeated key is kept, for the reader to complain about") {
  CHECK(parse_yaml("a: 1\na: 2\n", "f").value().members.size() == 2);
}

TEST_CASE("yaml: what could unfold or hide something is refused at its place") {
  CHECK(error_of("a: &x [1]\nb: *x\n") ==
        "f:1:4: anchors and aliases are not supported; write the value out");
  CHECK(error_of("a: *x\n").starts_with("f:1:4: "));
  CHECK(error_of("a: 1\nb: !!binary aGk=\n") ==
        "f:2:4: the tag 'tag:yaml.org,2002:binary' is not supported; leave it out");
  CHECK(error_of("a: !mine {b: 1}\n") == "f:1:4: the tag '!mine' is not supported; leave it out");
  CHECK(error_of("[1, 2]: 3\n") == "f:1:1: a key must be text, not a list or a mapping");
  CHECK(error_of("a: 1\n---\nb: 2\n") ==
        "f:2:1: a second YAML document begins here; a file holds one");
  CHECK(error_of(std::string_view("a: \0", 4)) == "f: not YAML: byte 3 is zero");
  CHECK(error_of("~: 1\n") == "f:1:1: a key is missing here");
}

TEST_CASE("yaml: a file that is no YAML says where") {
  CHECK(error_of("a: [1, 2\nb: 3\n").starts_with("f:2:2: not valid YAML: "));
  CHECK(error_of("a: 1\n\tb: 2\n").starts_with("f:2:"));
}

TEST_CASE("yaml: size, depth and number of values are bounded") {
  CHECK(error_of(std::string(kMaxYamlBytes + 1, ' ')) ==
        "f: larger than the 1048576 bytes that a configuration file may have");
  const std::size_t deep = 100'000;
  CHECK(error_of(std::string(deep, '[') + std::string(deep, ']')) ==
        "f:1:33: nested deeper than 32 levels");
  std::string block;
  for (std::size_t i = 0; i < 100; ++i) block += std::string(i, ' ') + "a:\n";
  CHECK(error_of(block).find("nested deeper than 32 levels") != std::string::npos);
  std::string many = "[";
  for (std::size_t i = 0; i < kMaxYamlNodes; ++i) many += "1,";
  CHECK(error_of(many + "]").find("more than 100000 values") != std::string::npos);
}

TEST_CASE("yaml: no bytes make the reader do anything but answer") {
  const unsigned seed = std::random_device{}();
  INFO("seed ", seed);
  std::mt19937 random(seed);
  const std::string_view signs = "abc: -[]{},'\"#&*!|>%@`\n\n  \t\r?~01.\xC3\xA9\xFF";
  for (int round = 0; round < 2000; ++round) {
    std::string text(random() % 60, ' ');
    for (char& c : text) c = signs[random() % signs.size()];
    CAPTURE(text);
    const auto parsed = parse_yaml(text, "f");
    CHECK((parsed.has_value() || parsed.error().items.size() == 1));
  }
}
