// Encodes the texts of a file of reference ids, and reports the first text whose ids differ.
#include "compnode/data/tokenizer.hpp"

#include "compnode/files/mapped_file.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using longhaul::compnode::MappedFile;
using longhaul::compnode::TokenEncoder;
using longhaul::compnode::TokenId;
using longhaul::compnode::Tokenizer;

struct Case {
  std::string_view text;
  std::vector<TokenId> ids;
};

// The format that reference_ids.cjs writes.
Case take_case(std::string_view& rest) {
  std::uint32_t sizes[2];
  std::memcpy(sizes, rest.data(), sizeof sizes);
  rest.remove_prefix(sizeof sizes);
  Case result{rest.substr(0, sizes[0]), std::vector<TokenId>(sizes[1])};
  rest.remove_prefix(sizes[0]);
  if (sizes[1] > 0) std::memcpy(result.ids.data(), rest.data(), sizes[1] * sizeof(TokenId));
  rest.remove_prefix(sizes[1] * sizeof(TokenId));
  return result;
}

void print_difference(std::size_t number, const Case& expected, const std::vector<TokenId>& ids,
                      const Tokenizer& tokenizer) {
  const auto [ours, theirs] =
      std::mismatch(ids.begin(), ids.end(), expected.ids.begin(), expected.ids.end());
  const auto place = static_cast<std::size_t>(ours - ids.begin());
  const std::string before = tokenizer.decode(std::span(ids).first(place)).value();
  std::fprintf(stderr, "text %zu: ids differ from token %zu, byte %zu on:", number, place,
               before.size());
  for (const char byte : expected.text.substr(before.size(), 24)) {
    std::fprintf(stderr, " %02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
  }
  std::fprintf(stderr, "\n  here %ld, reference %ld\n",
               ours == ids.end() ? -1L : static_cast<long>(*ours),
               theirs == expected.ids.end() ? -1L : static_cast<long>(*theirs));
}

int compare(const Tokenizer& tokenizer, std::string_view cases) {
  TokenEncoder encoder(tokenizer);
  std::size_t texts = 0;
  std::size_t tokens = 0;
  for (; !cases.empty(); ++texts) {
    const Case expected = take_case(cases);
    std::vector<TokenId> ids;
    encoder.encode(expected.text, ids);
    if (ids != expected.ids) {
      print_difference(texts, expected, ids, tokenizer);
      return 1;
    }
    if (tokenizer.decode(ids).value() != expected.text) {
      std::fprintf(stderr, "text %zu: decoding gives another text\n", texts);
      return 1;
    }
    tokens += ids.size();
  }
  std::printf("%zu texts, %zu tokens: all ids equal\n", texts, tokens);
  return texts == 0 ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: compare_tokenizer TOKENIZER CASES\n", stderr);
    return 2;
  }
  const auto tokenizer = Tokenizer::load(argv[1]);
  const auto cases = MappedFile::open(argv[2]);
  if (!tokenizer || !cases) {
    std::fprintf(stderr, "%s\n", (!tokenizer ? tokenizer.error() : cases.error()).message.c_str());
    return 1;
  }
  return compare(*tokenizer, cases->text());
}
