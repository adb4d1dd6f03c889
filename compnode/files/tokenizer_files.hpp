// The files of a tokenizer, under the names that transformers looks for.
#pragma once

#include "proto/error.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::compnode {

// Copies vocab.json and merges.txt (or OpenAI's encoder.json and vocab.bpe) or tokenizer.json, and
// the settings beside them, from the folder `from` (or from a tokenizer.json itself) into the
// folder `to`; writes a tokenizer_config.json where there is none, with `positions` as the longest
// input. Returns the names of the files made. Errors: kConfiguration where no tokenizer is found,
// kResource from the disk.
struct TokenizerCopy {
  std::filesystem::path from;
  std::filesystem::path to;
  std::optional<std::uint64_t> positions;
};
[[nodiscard]] proto::Result<std::vector<std::string>> copy_tokenizer(const TokenizerCopy& copy);

}  // namespace longhaul::compnode
