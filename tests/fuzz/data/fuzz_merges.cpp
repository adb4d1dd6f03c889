// vocab.json and merges.txt from anybody, in one input: the vocabulary, a line "====", the merges.
#include "compnode/data/byte_pair_merger.hpp"
#include "compnode/data/tokenizer_files.hpp"
#include "compnode/data/vocabulary.hpp"
#include "proto/assert.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace longhaul::compnode;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  constexpr std::string_view kSeam = "\n====\n";
  const std::size_t seam = std::min(input.find(kSeam), input.size());
  const std::string_view merges = input.substr(std::min(seam + kSeam.size(), input.size()));
  auto files = parse_vocabulary_and_merges(input.substr(0, seam), merges);
  if (!files) return 0;
  const auto vocabulary = Vocabulary::make(std::move(*files));
  if (!vocabulary) return 0;
  BytePairMerger merger(*vocabulary);
  std::string word = "the whale in the water";
  for (int i = 0; i < 3; ++i, word += word) {
    for (const TokenId id : merger.merge(word)) LONGHAUL_ASSERT(vocabulary->bytes(id).has_value());
  }
  return 0;
}
