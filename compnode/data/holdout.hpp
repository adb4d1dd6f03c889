// Which parts of a token stream are training sequences and which are held out.
#pragma once

#include "proto/error.hpp"

#include <cstdint>
#include <vector>

namespace longhaul::compnode {

// Cuts a stream of `tokens` into sequences of T inputs and their targets, T + 1 tokens that overlap
// the next sequence's by one. H = max(1, round(fraction * sequences)) of them are held out (none
// for fraction 0), in B = min(H, 32) blocks of equal length up to one; block j lies in the middle
// of the j-th of B equal parts of the stream. Nothing else enters: neither seed nor contents.
//
// The sequence after a block starts one token later than the grid says, so that no target of a
// held-out sequence is ever a token of a training sequence.
class Holdout {
 public:
  struct Shape {
    std::uint64_t tokens = 0;
    std::uint32_t sequence_length = 0;  // T >= 1
    double fraction = 0.0;              // [0, 1)
  };

  // kConfiguration if the tokens make no training sequence, or none to hold out where asked to.
  [[nodiscard]] static proto::Result<Holdout> make(Shape shape);

  [[nodiscard]] std::uint64_t train_sequences() const { return train_sequences_; }
  [[nodiscard]] std::uint64_t holdout_sequences() const { return holdout_sequences_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }

  // Stream position of the first of the T + 1 tokens of a sequence. Training sequences are numbered
  // in the order of the stream, held-out ones round-robin over the blocks.
  [[nodiscard]] std::uint64_t train_token(std::uint64_t index) const;
  [[nodiscard]] std::uint64_t holdout_token(std::uint64_t index) const;
  // The number of the held-out sequence that is `place`-th in the order of the stream.
  [[nodiscard]] std::uint64_t holdout_index(std::uint64_t place) const;

 private:
  explicit Holdout(Shape shape) : shape_(shape) {}

  Shape shape_;
  std::uint64_t train_sequences_ = 0;
  std::uint64_t holdout_sequences_ = 0;
  std::vector<std::uint64_t> block_begin_;         // by block: its first sequence on the grid
  std::vector<std::uint64_t> train_before_block_;  // by block: training sequences before it
};

}  // namespace longhaul::compnode
