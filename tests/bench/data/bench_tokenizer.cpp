// How many megabytes of text per second the tokeniser encodes on one core.
#include "compnode/data/tokenizer.hpp"

#include "compnode/files/mapped_file.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using longhaul::compnode::MappedFile;
using longhaul::compnode::TokenEncoder;
using longhaul::compnode::TokenId;
using longhaul::compnode::Tokenizer;
namespace fs = std::filesystem;

struct Text {
  std::string name;
  std::string bytes;
};

struct Measurement {
  std::string name;
  std::size_t bytes = 0;
  std::size_t tokens = 0;
  double first_mb_per_s = 0.0;   // with an empty word cache, as when a file is tokenised once
  double median_mb_per_s = 0.0;  // over the repetitions after it
};

constexpr int kRepetitions = 9;

std::string read_all(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::string text;
  for (const fs::path& file : files) text += MappedFile::open(file).value().text();
  return text;
}

std::string repeat(std::string_view unit, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

std::vector<Text> read_texts(const fs::path& inputs) {
  return {
      {"State of the Union", read_all(inputs / "text/sotu")},
      {"Moby Dick", std::string(MappedFile::open(inputs / "text/moby-dick.txt").value().text())},
      {"1 MB of 'a'", std::string(1'000'000, 'a')},
      {"1 MB of spaces", std::string(1'000'000, ' ')},
      {"1 MB of a CJK character", repeat("\u4e00", 1'000'000)},
      {"1 MB that is not UTF-8", std::string(1'000'000, '\xff')}};
}

Measurement measure(const Tokenizer& tokenizer, const Text& text) {
  Measurement result{text.name, text.bytes.size()};
  TokenEncoder encoder(tokenizer);
  std::vector<double> rates;
  for (int i = 0; i <= kRepetitions; ++i) {
    std::size_t tokens = 0;
    const auto begin = std::chrono::steady_clock::now();
    encoder.encode(text.bytes, [&](std::span<const TokenId> ids) { tokens += ids.size(); });
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    rates.push_back(static_cast<double>(text.bytes.size()) / 1e6 / time.count());
    result.tokens = tokens;
  }
  result.first_mb_per_s = rates.front();
  std::sort(rates.begin() + 1, rates.end());
  result.median_mb_per_s = rates[1 + kRepetitions / 2];
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  const bool to_file = arguments.size() == 3 && arguments[1] == "--json";
  if (arguments.size() != 1 && !to_file) {
    std::fputs(
        "usage: bench_tokenizer INPUTS [--json FILE]   (INPUTS: what deploy/fetch_inputs fills)\n",
        stderr);
    return 2;
  }
  const auto tokenizer = Tokenizer::load(fs::path(arguments[0]) / "gpt2");
  if (!tokenizer) {
    std::fprintf(stderr, "%s\n", tokenizer.error().message.c_str());
    return 1;
  }
  nlohmann::json report = nlohmann::json::array();
  std::printf("%-26s %12s %12s %12s %12s\n", "text", "bytes", "tokens", "first MB/s",
              "median MB/s");
  for (const Text& text : read_texts(arguments[0])) {
    const Measurement m = measure(*tokenizer, text);
    std::printf("%-26s %12zu %12zu %12.1f %12.1f\n", m.name.c_str(), m.bytes, m.tokens,
                m.first_mb_per_s, m.median_mb_per_s);
    report.push_back({{"text", m.name},
                      {"bytes", m.bytes},
                      {"tokens", m.tokens},
                      {"first_mb_per_s", m.first_mb_per_s},
                      {"median_mb_per_s", m.median_mb_per_s}});
  }
  if (to_file) std::ofstream(std::string(arguments[2])) << report.dump(2) << "\n";
  return 0;
}
