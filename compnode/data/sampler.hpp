// The order of training sequences: a pure function of seed and position.
#pragma once

#include <cstdint>

namespace longhaul::compnode {

// Shuffles without state: position p is place p % n of epoch p / n, and each epoch visits each of
// the n sequences once, in an order keyed by (seed, epoch). So `step * batch + i` is the whole
// cursor of a run, every host computes the same order, and resuming is free.
class Sampler {
 public:
  // train_sequences >= 1.
  Sampler(std::uint64_t train_sequences, std::uint64_t seed);

  // In [0, train_sequences).
  [[nodiscard]] std::uint64_t sequence_at(std::uint64_t position) const;

 private:
  std::uint64_t sequences_;
  std::uint64_t seed_;
  unsigned half_bits_;
};

}  // namespace longhaul::compnode
