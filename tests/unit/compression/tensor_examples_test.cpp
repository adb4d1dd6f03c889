// The worked examples of the lossy codecs, read from format.md itself.
#include "tests/unit/compression/tensors.hpp"

#include <fstream>
#include <map>
#include <sstream>
#include <vector>

namespace longhaul::compression {
namespace {

using Fields = std::map<std::string, std::string>;

// Every ```example-tensor block as its "name: text" lines.
std::vector<Fields> read_examples() {
  std::ifstream file(LONGHAUL_FORMAT_DOCUMENT);
  std::vector<Fields> examples;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line == "```example-tensor") {
      examples.emplace_back();
      inside = true;
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      const std::size_t colon = line.find(": ");
      REQUIRE(colon != std::string::npos);
      examples.back()[line.substr(0, colon)] += line.substr(colon + 1);
    }
  }
  return examples;
}

// Numbers; "60 x 0" is sixty times 0.
template <class T>
std::vector<T> numbers(const std::string& text) {
  std::istringstream in(text);
  std::vector<T> all;
  for (std::string word; in >> word;) {
    if (word == "x") {
      const auto times = static_cast<std::size_t>(all.back());
      in >> word;
      all.pop_back();
      all.insert(all.end(), times, static_cast<T>(std::stod(word)));
    } else {
      all.push_back(static_cast<T>(std::stod(word)));
    }
  }
  return all;
}

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += {' ', kDigits[std::to_integer<std::size_t>(byte >> 4)],
             kDigits[std::to_integer<std::size_t>(byte & std::byte{15})]};
  }
  return text;
}

TEST_CASE("format.md: every example of a tensor encodes to the bytes shown, and back") {
  const std::vector<Fields> examples = read_examples();
  REQUIRE(examples.size() >= 8);
  for (Fields example : examples) {
    CAPTURE(example["rung"]);
    CAPTURE(example["values"]);
    const auto extents = numbers<std::size_t>(example["shape"]);
    REQUIRE(extents.size() == 2);
    const Shape shape{extents[0], extents[1]};
    const auto values = numbers<float>(example["values"]);
    Buffer<std::uint32_t> mask;
    const auto entries = numbers<std::uint32_t>(example["mask"]);
    std::ranges::copy(entries, mask.resize(entries.size()).begin());
    Workspace workspace;
    Encoded sent;
    const auto key = static_cast<std::uint64_t>(
        std::stoi("0" + example["key"].substr(example["key"].empty() ? 0 : 1)));
    const Rung wanted = rung(example["rung"].substr(1));
    const bool masked = example["codec"] == " 5";
    const auto done = masked ? encode_masked(std::span<const float>(values), shape, mask.span(),
                                             wanted, key, workspace, sent)
                             : encode(values, shape, wanted, key, workspace, sent);
    REQUIRE(done.has_value());
    CHECK(std::to_string(static_cast<int>(sent.codec)) == example["codec"].substr(1));
    CHECK(hex(sent.payload.span()) == example["payload"]);
    std::vector<float> back(values.size());
    REQUIRE(decode(sent.codec, sent.payload.span(), shape, std::span<float>(back), &mask, workspace)
                .has_value());
    CHECK(back == numbers<float>(example["decoded"]));
    if (sent.codec == Codec::kTopK) {
      CHECK(std::ranges::equal(mask.span(), entries));
      CHECK(std::ranges::equal(sent.mask.span(), entries));
    }
  }
}

}  // namespace
}  // namespace longhaul::compression
