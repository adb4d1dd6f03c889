// Where words end, and what is UTF-8.
#include "compnode/data/word_splitter.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <vector>

namespace longhaul::compnode {
namespace {

using Words = std::vector<std::string>;
using namespace std::string_literals;

Words words_of(std::string_view text) {
  static const WordSplitter splitter;
  WordSplitter::Matcher matcher(splitter);
  Words words;
  std::size_t ends[WordSplitter::Matcher::kMostWords];
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t count = matcher.next(text, begin, ends);
    for (std::size_t i = 0; i < count; ++i) {
      words.emplace_back(text.substr(begin, ends[i] - begin));
      begin = ends[i];
    }
  }
  return words;
}

TEST_CASE("words: a space belongs to the word after it") {
  CHECK(words_of("The whale, 1851!") == Words{"The", " whale", ",", " 1851", "!"});
}

TEST_CASE("words: the last space of several belongs to the word after them") {
  CHECK(words_of("a   b") == Words{"a", "  ", " b"});
  CHECK(words_of("a \n b\n\n") == Words{"a", " \n", " b", "\n\n"});
  CHECK(words_of("a\n\nb") == Words{"a", "\n", "\n", "b"});
  CHECK(words_of("a  ") == Words{"a", "  "});
}

TEST_CASE("words: contractions in lower case only") {
  CHECK(words_of("I'm he'll they've 'til X'S") ==
        Words{"I", "'m", " he", "'ll", " they", "'ve", " '", "til", " X", "'", "S"});
}

TEST_CASE("words: letters and digits of any script, marks apart") {
  CHECK(words_of("\u043c\u0438\u0440 \u4f60\u597d \u0661\u0662x") ==
        Words{"\u043c\u0438\u0440", " \u4f60\u597d", " \u0661\u0662", "x"});
  CHECK(words_of("e\u0301a") == Words{"e", "\u0301", "a"});
}

TEST_CASE("words: white space is Unicode's White_Space") {
  for (const std::string space :
       {"\t", "\v", "\f", "\r", "\u0085", "\u00a0", "\u1680", "\u2009", "\u2028", "\u3000"}) {
    CAPTURE(space);
    CHECK(words_of("a" + space + space + "b") == Words{"a", space, space, "b"});
  }
  // Not these: they stay together, and with the space before them.
  for (const std::string& other : {"\x1c"s, "\u180e"s, "\u200b"s, "\ufeff"s, "\0"s}) {
    CAPTURE(other);
    CHECK(words_of("a " + other + other + "b") == Words{"a", " " + other + other, "b"});
  }
}

TEST_CASE("words: more of them than one call of the matcher takes") {
  std::string text;
  Words expected;
  for (int i = 0; i < 100; ++i) {
    text += " w";
    expected.emplace_back(" w");
  }
  CHECK(words_of(text) == expected);
}

TEST_CASE("words: a megabyte of one kind is one word") {
  CHECK(words_of(std::string(1'000'000, 'a')).size() == 1);
  CHECK(words_of(std::string(1'000'000, ' ')).size() == 1);
  CHECK(words_of(std::string(1'000'000, ' ') + "a").size() == 2);
}

TEST_CASE("utf-8: valid up to the first byte that cannot be") {
  CHECK(valid_utf8_prefix("") == 0);
  CHECK(valid_utf8_prefix("plain text, longer than eight") == 29);
  CHECK(valid_utf8_prefix("a\u00e9\u4e00\U0001f600\U0010ffff") == 14);
  CHECK(valid_utf8_prefix("0123456\xff") == 7);
  for (const std::string bad :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
        "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xc3", "\xe4\xb8",
        "\xf0\x9f\x98", "\xe4\xb8\x41", "\xff"}) {
    CAPTURE(bad);
    CHECK(valid_utf8_prefix(bad) == 0);
    CHECK(valid_utf8_prefix("ab" + bad + "cdefghijkl") == 2);
  }
}

}  // namespace
}  // namespace longhaul::compnode
