// GPT-2's regular expression: where each word of a text ends.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

namespace longhaul::compnode {

// The compiled expression. Immutable; threads share it through Matchers of their own.
class WordSplitter {
 public:
  // Throws proto::Failed if libpcre2 cannot compile it.
  WordSplitter();
  ~WordSplitter();
  WordSplitter(const WordSplitter&) = delete;
  WordSplitter& operator=(const WordSplitter&) = delete;

  // The words of one text after another. For one thread at a time; the splitter must outlive it.
  class Matcher {
   public:
    explicit Matcher(const WordSplitter& splitter);
    ~Matcher();
    Matcher(const Matcher&) = delete;
    Matcher& operator=(const Matcher&) = delete;

    static constexpr std::size_t kMostWords = 16;

    // The ends of the next words of `text` from `begin` on, at most kMostWords: ends[i] is where
    // word i ends and word i + 1 begins. At least one, since every character belongs to a word.
    // `text` is valid UTF-8, `begin` < text.size() the start of a word. Returns how many.
    std::size_t next(std::string_view text, std::size_t begin, std::size_t (&ends)[kMostWords]);

   private:
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// How many leading bytes of `text` are valid UTF-8, cut at a character's end. No surrogates, no
// overlong forms, nothing above U+10FFFF.
[[nodiscard]] std::size_t valid_utf8_prefix(std::string_view text);

}  // namespace longhaul::compnode
