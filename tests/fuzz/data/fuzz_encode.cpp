// Arbitrary bytes as text: encoded without a crash, in the vocabulary, and decoded to the same
// bytes.
#include "compnode/data/tokenizer.hpp"
#include "proto/assert.hpp"

#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace longhaul::compnode;
  static const Tokenizer tokenizer = Tokenizer::load(LONGHAUL_FIXTURE).value();
  static TokenEncoder warm(tokenizer);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  std::vector<TokenId> ids;
  warm.encode(text, ids);
  LONGHAUL_ASSERT(tokenizer.decode(ids).value() == text);
  LONGHAUL_ASSERT(warm.bytes_encoded() == size);
  return 0;
}
