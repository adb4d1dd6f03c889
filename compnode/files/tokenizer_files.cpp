// Copies and completes tokenizer files.
#include "compnode/files/tokenizer_files.hpp"

#include "compnode/files/atomic_file.hpp"
#include "compnode/files/mapped_file.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <string_view>

namespace longhaul::compnode {
namespace {

constexpr std::string_view kEndOfText = "<|endoftext|>";
constexpr std::string_view kSettings = "tokenizer_config.json";

struct Row {
  const char* source;
  const char* target;
};
// Of two sources for one target the first counts.
constexpr Row kRows[] = {
    {"vocab.json", "vocab.json"},
    {"encoder.json", "vocab.json"},
    {"merges.txt", "merges.txt"},
    {"vocab.bpe", "merges.txt"},
    {"tokenizer.json", "tokenizer.json"},
    {"tokenizer_config.json", "tokenizer_config.json"},
    {"special_tokens_map.json", "special_tokens_map.json"},
    {"added_tokens.json", "added_tokens.json"},
};

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

proto::Result<std::vector<std::string>> copy_known(const TokenizerCopy& copy) {
  std::vector<std::string> made;
  const bool is_file = std::filesystem::is_regular_file(copy.from);
  for (const Row& row : kRows) {
    const std::filesystem::path source = is_file ? copy.from : copy.from / row.source;
    if (is_file && std::string_view(row.target) != "tokenizer.json") continue;
    if (has(made, row.target) || !std::filesystem::exists(source)) continue;
    const auto file = MappedFile::open(source);
    if (!file) return file.error();
    const auto written = write_file(copy.to / row.target, text_of(*file));
    if (!written) return written.error();
    made.emplace_back(row.target);
  }
  return made;
}

proto::Result<void> write_settings(const TokenizerCopy& copy,
                                   const std::vector<std::string>& made) {
  const bool has_vocabulary = has(made, "vocab.json");
  const auto vocabulary =
      MappedFile::open(copy.to / (has_vocabulary ? "vocab.json" : "tokenizer.json"));
  if (!vocabulary) return vocabulary.error();
  nlohmann::ordered_json settings;
  settings["add_prefix_space"] = false;
  if (text_of(*vocabulary).find(fmt::format("\"{}\"", kEndOfText)) != std::string_view::npos) {
    for (const char* token : {"bos_token", "eos_token", "unk_token"}) settings[token] = kEndOfText;
  }
  if (copy.positions) settings["model_max_length"] = *copy.positions;
  settings["tokenizer_class"] = has_vocabulary ? "GPT2Tokenizer" : "PreTrainedTokenizerFast";
  return write_file(copy.to / kSettings, settings.dump(2) + "\n");
}

}  // namespace

proto::Result<std::vector<std::string>> copy_tokenizer(const TokenizerCopy& copy) {
  auto made = copy_known(copy);
  if (!made) return made;
  const bool complete =
      (has(*made, "vocab.json") && has(*made, "merges.txt")) || has(*made, "tokenizer.json");
  if (!complete) {
    return proto::configuration_error(fmt::format(
        "{}: has neither vocab.json and merges.txt nor tokenizer.json", copy.from.string()));
  }
  if (!has(*made, kSettings)) {
    if (const auto written = write_settings(copy, *made); !written) return written.error();
    made->emplace_back(kSettings);
  }
  return made;
}

}  // namespace longhaul::compnode
