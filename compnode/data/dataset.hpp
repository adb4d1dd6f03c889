// The training data of a job as packed sequences of token ids, split into training and held-out.
#pragma once

#include "compnode/data/holdout.hpp"
#include "proto/error.hpp"
#include "proto/job.pb.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace longhaul::compnode {

class TokenStream;

enum class Split { kTrain, kHoldout };

// While text is tokenised for the first time; both in bytes of source files.
struct TokenizingProgress {
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_total = 0;
};

// Immutable; any number of threads may read at once. Copies share the mapping.
//
// Text is tokenised once, into a file of the cache folder that is keyed by the content of the text,
// of the tokenizer and by the text field; documents end with the end-of-text token. Files of token
// ids (.bin) are mapped where they lie, and follow each other as they are. Which sequences are held
// out, and their order, is written down in holdout.hpp.
class TokenDataset {
 public:
  struct Options {
    std::int64_t vocabulary_size = 0;  // of the model; every id must be below it
    // Called now and then from the calling thread; may be empty.
    std::function<void(const TokenizingProgress&)> progress = {};
  };

  // Tokenises if the cache has no finished file yet; processes that race for it wait for the first.
  // Errors: kConfiguration for whatever the user can mend (a missing file, a bad record as
  // file:line, a vocabulary that does not fit, too little data), kResource for disk and memory. An
  // error leaves no cache folder behind that was not there before.
  [[nodiscard]] static proto::Result<TokenDataset> open(const wire::DataSource& source,
                                                        Options options);

  // What can be said without tokenising: files readable, kinds known and not mixed, tokenizer valid
  // and within the model's vocabulary. Of .bin files everything that open() says.
  [[nodiscard]] static proto::Result<void> check(const wire::DataSource& source,
                                                 std::int64_t vocabulary_size);

  [[nodiscard]] std::uint64_t train_sequences() const;
  [[nodiscard]] std::uint64_t holdout_sequences() const;
  [[nodiscard]] std::uint64_t sequences(Split split) const;
  [[nodiscard]] std::uint32_t sequence_length() const;  // T, inputs of a sequence
  [[nodiscard]] std::uint64_t tokens() const;           // of the whole stream
  [[nodiscard]] std::int64_t vocabulary_size() const;   // of the model, as given

  // Of the token ids and of what decides the sequences: hosts whose fingerprints agree read the
  // same sequences. 32 hexadecimal digits.
  [[nodiscard]] const std::string& fingerprint() const;

  // Fills T inputs and T targets: targets[t] is the token after inputs[t]. index <
  // sequences(split). Training sequences are numbered in the order of the text; held-out ones
  // round-robin over the blocks, so that the first few already come from all over the text.
  void read(Split split, std::uint64_t index, std::span<std::int64_t> inputs,
            std::span<std::int64_t> targets) const;
  // The index of the sequence that is `place`-th in the order of the text; place <
  // sequences(split).
  [[nodiscard]] std::uint64_t index_in_text(Split split, std::uint64_t place) const;

 private:
  [[nodiscard]] static proto::Result<TokenDataset> open_checked(const wire::DataSource& source,
                                                                const Options& options);
  TokenDataset(std::shared_ptr<const TokenStream> stream, Holdout holdout,
               std::int64_t vocabulary_size);

  std::shared_ptr<const TokenStream> stream_;
  Holdout holdout_;
  std::int64_t vocabulary_size_;
  std::string fingerprint_;
};

}  // namespace longhaul::compnode
