// The expression on libpcre2, compiled to machine code where the system allows that.
#include "compnode/data/word_splitter.hpp"

#include "proto/assert.hpp"
#include "proto/error.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <string>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

namespace longhaul::compnode {
namespace {

// Unicode's White_Space, which libpcre2's own \s differs from by U+180E.
constexpr std::string_view kWord =
    R"('(?:s|t|re|ve|m|ll|d)| ?\p{L}++| ?\p{N}++| ?[^\t-\r\x{85}\p{Z}\p{L}\p{N}]++)"
    R"(|[\t-\r\x{85}\p{Z}]+(?![^\t-\r\x{85}\p{Z}])|[\t-\r\x{85}\p{Z}]++)";

// Calling the matcher costs about as much as matching a word, so one call takes several. A word is
// atomic: what follows never changes where it ends.
std::string expression() {
  std::string text;
  for (std::size_t i = 0; i < WordSplitter::Matcher::kMostWords; ++i) {
    text += fmt::format("{}((?>{}))", i == 0 ? "" : "(?:", kWord);
  }
  for (std::size_t i = 1; i < WordSplitter::Matcher::kMostWords; ++i) text += ")?+";
  return text;
}

bool is_continuation(unsigned char byte) { return (byte & 0xc0u) == 0x80u; }

// Bytes of the character at `at`, 0 if it is not valid. The table of well-formed sequences is 3-7
// of the Unicode Standard.
std::size_t character_bytes(const unsigned char* at, std::size_t available) {
  const unsigned char lead = at[0];
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const std::size_t bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (bytes > available) return 0;
  const unsigned char lowest = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char highest = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (at[1] < lowest || at[1] > highest) return 0;
  for (std::size_t i = 2; i < bytes; ++i) {
    if (!is_continuation(at[i])) return 0;
  }
  return bytes;
}

}  // namespace

struct WordSplitter::State {
  pcre2_code* code = nullptr;
  bool compiled_to_machine_code = false;

  ~State() { pcre2_code_free(code); }
};

struct WordSplitter::Matcher::State {
  explicit State(const WordSplitter::State& splitter)
      : code(splitter.code),
        fast(splitter.compiled_to_machine_code),
        data(pcre2_match_data_create_from_pattern(splitter.code, nullptr)) {
    LONGHAUL_ASSERT(data != nullptr);
  }
  ~State() { pcre2_match_data_free(data); }

  const pcre2_code* code;
  bool fast;
  pcre2_match_data* data;
};

WordSplitter::WordSplitter() : state_(std::make_unique<State>()) {
  int error = 0;
  PCRE2_SIZE place = 0;
  const std::string text = expression();
  state_->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                               PCRE2_UTF | PCRE2_UCP | PCRE2_ANCHORED | PCRE2_NO_START_OPTIMIZE,
                               &error, &place, nullptr);
  if (state_->code == nullptr) {
    throw proto::Failed(
        {proto::ErrorKind::kInternal,
         fmt::format("libpcre2 refuses GPT-2's expression with error {} at {}", error, place)});
  }
  // Hardened systems forbid writable machine code; the interpreter gives the same words, slower.
  state_->compiled_to_machine_code = pcre2_jit_compile(state_->code, PCRE2_JIT_COMPLETE) == 0;
}

WordSplitter::~WordSplitter() = default;

WordSplitter::Matcher::Matcher(const WordSplitter& splitter)
    : state_(std::make_unique<State>(*splitter.state_)) {}

WordSplitter::Matcher::~Matcher() = default;

std::size_t WordSplitter::Matcher::next(std::string_view text, std::size_t begin,
                                        std::size_t (&ends)[kMostWords]) {
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  const int groups = state_->fast ? pcre2_jit_match(state_->code, subject, text.size(), begin, 0,
                                                    state_->data, nullptr)
                                  : pcre2_match(state_->code, subject, text.size(), begin,
                                                PCRE2_NO_UTF_CHECK, state_->data, nullptr);
  LONGHAUL_ASSERT(groups >= 2);  // the whole match, and at least one word
  const auto words = static_cast<std::size_t>(groups - 1);
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(state_->data);
  for (std::size_t i = 0; i < words; ++i) ends[i] = offsets[2 * i + 3];
  return words;
}

std::size_t valid_utf8_prefix(std::string_view text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint64_t eight = 0;
    while (text.size() - at >= sizeof eight) {  // plain ASCII, eight characters at a time
      std::memcpy(&eight, bytes + at, sizeof eight);
      if ((eight & 0x8080808080808080u) != 0) break;
      at += sizeof eight;
    }
    if (at == text.size()) break;
    const std::size_t character = character_bytes(bytes + at, text.size() - at);
    if (character == 0) break;
    at += character;
  }
  return at;
}

}  // namespace longhaul::compnode
