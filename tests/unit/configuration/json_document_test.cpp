// Claims about JSON documents and the places of what is in them.
#include "daemon/configuration/json_document.hpp"

#include <doctest/doctest.h>

#include <string>

namespace longhaul::daemon {
namespace {

constexpr std::string_view kSample = R"({
  "a": 1.50, "b\"\\": [true, null, -2e3,
    "x\"y\\"],
 "c":{"d" : {}, "e":7}, "a": false
})";

std::string error_of(std::string_view text) {
  const auto parsed = parse_json(text, "f.json");
  REQUIRE(!parsed.has_value());
  return to_string(parsed.error());
}

TEST_CASE("json: values, kinds and repeated keys, in their order") {
  const YamlNode root = parse_json(kSample, "f.json").value();
  REQUIRE(root.kind == YamlNode::Kind::kMapping);
  REQUIRE(root.members.size() == 4);
  CHECK(root.members[0].key == "a");
  CHECK(root.members[0].value.text == "1.50");
  CHECK(!root.members[0].value.quoted);
  CHECK(root.members[1].key == "b\"\\");
  const auto& items = root.members[1].value.items;
  REQUIRE(items.size() == 4);
  CHECK(items[0].text == "true");
  CHECK(items[1].kind == YamlNode::Kind::kNull);
  CHECK(items[2].text == "-2e3");
  CHECK(items[3].text == "x\"y\\");
  CHECK(items[3].quoted);
  CHECK(root.members[2].value.members[0].value.kind == YamlNode::Kind::kMapping);
  CHECK(root.members[3].key == "a");
}

TEST_CASE("json: everything knows its place") {
  const YamlNode root = parse_json(kSample, "f.json").value();
  CHECK(root.position == Position{1, 1});
  CHECK(root.members[0].position == Position{2, 3});
  CHECK(root.members[0].value.position == Position{2, 8});
  CHECK(root.members[1].position == Position{2, 14});
  const auto& items = root.members[1].value.items;
  CHECK(root.members[1].value.position == Position{2, 23});
  CHECK(items[0].position == Position{2, 24});
  CHECK(items[1].position == Position{2, 30});
  CHECK(items[2].position == Position{2, 36});
  CHECK(items[3].position == Position{3, 5});
  CHECK(root.members[2].value.position == Position{4, 6});
  CHECK(root.members[2].value.members[0].value.position == Position{4, 13});
  CHECK(root.members[2].value.members[1].value.position == Position{4, 21});
  CHECK(root.members[3].value.position == Position{4, 30});
  CHECK(parse_json("12", "f.json").value().text == "12");
  CHECK(parse_json(" 12", "f.json").value().position == Position{1, 2});
  CHECK(parse_json("12 ", "f.json").value().text == "12");
}

TEST_CASE("json: what is no JSON is refused at its place") {
  CHECK(error_of("{\"a\": 1,\n \"b\" 2}").starts_with("f.json:2:6: not valid JSON: "));
  CHECK(error_of("{\"a\": tru}").starts_with("f.json:1:10: not valid JSON: "));
  CHECK(error_of("").starts_with("f.json:1:1: not valid JSON: "));
  CHECK(error_of("{\"a\": 1").starts_with("f.json:1:8: not valid JSON: "));
  CHECK(error_of("[1] [2]").starts_with("f.json:1:5: not valid JSON: "));
  CHECK(error_of("[1e999]").starts_with("f.json:1:"));
  CHECK(error_of("{\"a\": NaN}").starts_with("f.json:1:7: not valid JSON: "));
}

TEST_CASE("json: too deep and too large are refused") {
  CHECK(parse_json(std::string(kMaxJsonDepth, '[') + std::string(kMaxJsonDepth, ']'), "f.json")
            .has_value());
  CHECK(error_of(std::string(kMaxJsonDepth + 1, '[')) ==
        "f.json:1:33: nested deeper than 32 levels");
  std::string many = "[0";
  for (std::size_t i = 0; i < kMaxJsonNodes; ++i) many += ",0";
  CHECK(error_of(many + "]").find("more than 1000000 values") != std::string::npos);
  CHECK(error_of(std::string(kMaxJsonBytes + 1, ' ')).starts_with("f.json: larger than "));
}

}  // namespace
}  // namespace longhaul::daemon
