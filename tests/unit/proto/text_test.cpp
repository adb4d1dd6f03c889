// Claims about how foreign names are shown and what is suggested for them.
#include "proto/text.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>

namespace longhaul::proto {
namespace {

constexpr std::array<std::string_view, 3> kNames{"linear", "layer_norm", "gelu"};

TEST_CASE("text: a name cannot break the line") {
  CHECK(quoted("a\nb\x7f") == "'a\\x0ab\\x7f'");
  CHECK(quoted("") == "''");
}

TEST_CASE("text: a long name is cut at a character's start") {
  const std::string shown = quoted(std::string(79, 'x') + "\xc3\xa9 and more");
  CHECK(shown == "'" + std::string(79, 'x') + "...'");
  CHECK(quoted(std::string(80, 'x')) == "'" + std::string(80, 'x') + "'");
}

TEST_CASE("text: the nearest name is suggested only if it is near") {
  CHECK(nearest_name("liner", kNames) == "linear");
  CHECK(nearest_name("layernorm", kNames) == "layer_norm");
  CHECK(nearest_name("convolution", kNames).empty());
  CHECK(nearest_name(std::string(10'000, 'l'), kNames).empty());
  CHECK(did_you_mean("glu", kNames) == "; did you mean 'gelu'?");
  CHECK(did_you_mean("x", kNames).empty());
}

TEST_CASE("text: names are present, short and without control characters") {
  CHECK(check_name("node", "a").has_value());
  CHECK(check_name("node", std::string(kMaximumNameBytes, 'a')).has_value());
  CHECK(check_name("node", "").error().message == "node without a name");
  CHECK(check_name("node", std::string(kMaximumNameBytes + 1, 'a')).has_error());
  CHECK(check_name("node", std::string_view("a\0b", 3)).has_error());
}

}  // namespace
}  // namespace longhaul::proto
