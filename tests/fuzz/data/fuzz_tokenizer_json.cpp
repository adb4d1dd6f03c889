// tokenizer.json from anybody: read or refused, and what is read encodes and decodes.
#include "compnode/data/byte_pair_merger.hpp"
#include "compnode/data/tokenizer_files.hpp"
#include "compnode/data/vocabulary.hpp"
#include "proto/assert.hpp"

#include <cstdint>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace longhaul::compnode;
  auto files = parse_tokenizer_json({reinterpret_cast<const char*>(data), size});
  if (!files) return 0;
  const auto vocabulary = Vocabulary::make(std::move(*files));
  if (!vocabulary) return 0;
  BytePairMerger merger(*vocabulary);
  std::string word = "the whale in the water";
  for (int i = 0; i < 3; ++i, word += word) {  // short and long words
    for (const TokenId id : merger.merge(word)) LONGHAUL_ASSERT(vocabulary->bytes(id).has_value());
  }
  return 0;
}
