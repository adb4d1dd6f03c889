// Token ids in mapped files, one after the other.
#pragma once

#include "compnode/files/mapped_file.hpp"
#include "compnode/data/tokenizer.hpp"
#include "proto/error.hpp"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace longhaul::compnode {

// Immutable after the last append. Ids are little-endian integers of 16 or 32 bits, used where they
// lie.
class TokenStream {
 public:
  struct Layout {
    unsigned token_bits = 16;        // 16 or 32
    std::uint64_t header_bytes = 0;  // a multiple of the integers' size
  };

  // `name` is for errors. The file's rest after the header must be whole integers: kConfiguration.
  [[nodiscard]] proto::Result<void> append(MappedFile file, const std::filesystem::path& name,
                                           Layout layout);

  [[nodiscard]] std::uint64_t tokens() const { return tokens_; }
  // Reads all. 0 for an empty stream.
  [[nodiscard]] TokenId greatest_id() const;
  // Ids from position `begin` on, as many as `out` holds; they must exist.
  void copy(std::uint64_t begin, std::span<std::int64_t> out) const;

  // Of the contents; see TokenDataset::fingerprint.
  void set_content_hash(std::string hash) { content_hash_ = std::move(hash); }
  [[nodiscard]] const std::string& content_hash() const { return content_hash_; }

 private:
  struct Part {
    MappedFile file;
    Layout layout;
    std::uint64_t begin = 0;  // place in the stream
    std::uint64_t tokens = 0;
  };

  std::vector<Part> parts_;
  std::uint64_t tokens_ = 0;
  std::string content_hash_;
};

}  // namespace longhaul::compnode
