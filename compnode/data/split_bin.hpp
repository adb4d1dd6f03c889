// Writes a split as a file of plain token ids, for other frameworks to read.
#pragma once

#include "compnode/data/dataset.hpp"
#include "proto/error.hpp"

#include <cstdint>
#include <filesystem>

namespace longhaul::compnode {

enum class BinLayout {
  // T ids per sequence in the order of the text, then the last target: one stream, as loaders that
  // cut windows expect it. Where text was left out, the target across the seam is the next id.
  kStream,
  // T + 1 ids per sequence, row i what read(split, i) gives: [sequences, T + 1] row-major, exact.
  kRows,
};

struct SplitBin {
  unsigned token_bits = 16;  // 16 where the model's vocabulary allows it, else 32
  std::uint64_t tokens = 0;
};

// Little-endian, no header; written beside `path` and renamed. kResource if it cannot be written,
// kConfiguration if the split is empty.
[[nodiscard]] proto::Result<SplitBin> write_split_bin(const TokenDataset& dataset, Split split,
                                                      const std::filesystem::path& path,
                                                      BinLayout layout = BinLayout::kStream);

}  // namespace longhaul::compnode
