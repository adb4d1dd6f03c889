// The two file formats that a byte-level BPE tokeniser comes in, read into one form.
#pragma once

#include "proto/error.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::compnode {

struct NamedToken {
  std::string name;  // in the byte alphabet; special tokens as they are
  std::uint32_t id = 0;
};

struct NamedMerge {
  std::string left;
  std::string right;
};

// As the files say it; what it means is checked by Vocabulary::make.
struct TokenizerFiles {
  std::vector<NamedToken> tokens;
  std::vector<NamedMerge> merges;  // rank = place
  std::string content_hash;        // of the files' bytes
};

// Finds and reads the files of a tokeniser; see Tokenizer::load. Errors name the file.
[[nodiscard]] proto::Result<TokenizerFiles> read_tokenizer_files(const std::filesystem::path& path);

// vocab.json: one object of name: id. merges.txt: a line "left right" per merge, empty lines and a
// first line that starts with "#version" aside. Errors say which file and line.
[[nodiscard]] proto::Result<TokenizerFiles> parse_vocabulary_and_merges(std::string_view vocabulary,
                                                                        std::string_view merges);

// tokenizer.json of Hugging Face's `tokenizers`: a BPE model with the ByteLevel pre-tokenizer and
// no normaliser; anything that would give other ids than plain byte-level BPE is refused.
[[nodiscard]] proto::Result<TokenizerFiles> parse_tokenizer_json(std::string_view json);

}  // namespace longhaul::compnode
