// The worked examples of format.md, read from the document itself.
#include "compression/codec.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

namespace longhaul::compression {
namespace {

struct Example {
  std::vector<std::int64_t> values;
  std::vector<std::byte> payload;
};

// "64 x 7" is 64 times 7; else a list of values.
std::vector<std::int64_t> parse_values(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::int64_t> values;
  std::string word;
  while (in >> word) {
    if (word == "x") {
      std::int64_t value = 0;
      in >> value;
      values.assign(static_cast<std::size_t>(values.back()), value);
    } else {
      values.push_back(std::stoll(word));
    }
  }
  return values;
}

Example read_example(const std::string& tag) {
  std::ifstream file(LONGHAUL_FORMAT_DOCUMENT);
  Example example;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line == "```" + tag) inside = true;
    else if (line == "```") inside = false;
    if (!inside) continue;
    if (line.starts_with("values:")) example.values = parse_values(line.substr(7));
    if (!line.starts_with("payload:")) continue;
    std::istringstream in(line.substr(8));
    for (std::string word; in >> word;) {
      example.payload.push_back(static_cast<std::byte>(std::stoi(word, nullptr, 16)));
    }
  }
  return example;
}

std::vector<std::int64_t> decode(const Example& example) {
  std::vector<std::int64_t> out(example.values.size(), -1);
  REQUIRE(decode_integers(example.payload, out).has_value());
  return out;
}

TEST_CASE("format.md: the worked example encodes to the bytes shown, and back") {
  const Example example = read_example("example");
  REQUIRE(example.values.size() == 4);
  CHECK(encode_integers(example.values).value() == example.payload);
  CHECK(decode(example) == example.values);
}

TEST_CASE("format.md: the packed example decodes to the values shown") {
  const Example example = read_example("example-decode");
  REQUIRE(example.values.size() == 64);
  REQUIRE(example.payload.size() > 2);
  CHECK(example.payload[1] == std::byte{1});
  CHECK(decode(example) == example.values);
}

}  // namespace
}  // namespace longhaul::compression
