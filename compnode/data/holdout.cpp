// Places the held-out blocks on the stream, and finds sequences by number.
#include "compnode/data/holdout.hpp"

#include "proto/assert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace longhaul::compnode {
namespace {

constexpr std::uint64_t kMostBlocks = 32;

proto::Error too_little(const Holdout::Shape& shape, std::uint64_t sequences) {
  return proto::configuration_error(fmt::format(
      "too little data: {} tokens make {} sequence{} of {} tokens, and {} needed{}; add text or "
      "shorten sequence_length",
      shape.tokens, sequences, sequences == 1 ? "" : "s", shape.sequence_length,
      shape.fraction > 0 ? "2 are" : "1 is",
      shape.fraction > 0 ? fmt::format(" to hold out {}", shape.fraction) : ""));
}

}  // namespace

proto::Result<Holdout> Holdout::make(Shape shape) {
  LONGHAUL_ASSERT(shape.sequence_length >= 1 && shape.tokens < std::uint64_t{1} << 56);
  if (!(shape.fraction >= 0.0 && shape.fraction < 1.0)) {
    return proto::configuration_error(
        fmt::format("holdout is {}, and must be at least 0 and less than 1", shape.fraction));
  }
  Holdout result(shape);
  const std::uint64_t length = shape.sequence_length;
  const std::uint64_t on_grid = shape.tokens == 0 ? 0 : (shape.tokens - 1) / length;
  if (shape.fraction == 0.0) {
    if (on_grid == 0) return too_little(shape, 0);
    result.train_sequences_ = on_grid;
    return result;
  }

  const double wanted = std::round(shape.fraction * static_cast<double>(on_grid));
  const std::uint64_t held = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(wanted));
  const std::uint64_t blocks = std::min(held, kMostBlocks);
  // Each block costs the stream one token.
  const std::uint64_t sequences =
      shape.tokens < blocks + 1 ? 0 : (shape.tokens - 1 - blocks) / length;
  if (sequences <= held) return too_little(shape, on_grid);
  result.holdout_sequences_ = held;
  result.train_sequences_ = sequences - held;

  // Cumulated rounding: block j has held / blocks sequences, and one more if j < held % blocks.
  std::uint64_t before = 0;  // held-out sequences in earlier blocks
  for (std::uint64_t j = 0; j < blocks; ++j) {
    const std::uint64_t size = held / blocks + (j < held % blocks ? 1 : 0);
    // Half a share of the training text on either side of the block.
    const std::uint64_t train_before = result.train_sequences_ * (2 * j + 1) / (2 * blocks);
    result.train_before_block_.push_back(train_before);
    result.block_begin_.push_back(train_before + before);
    before += size;
  }
  return result;
}

std::uint64_t Holdout::train_token(std::uint64_t index) const {
  LONGHAUL_ASSERT(index < train_sequences_);
  const auto after =
      std::upper_bound(train_before_block_.begin(), train_before_block_.end(), index);
  const auto blocks = static_cast<std::uint64_t>(after - train_before_block_.begin());
  const std::uint64_t all = block_begin_.size();
  const std::uint64_t held_before =
      all == 0 ? 0
               : blocks * (holdout_sequences_ / all) + std::min(blocks, holdout_sequences_ % all);
  return (index + held_before) * shape_.sequence_length + blocks;
}

std::uint64_t Holdout::holdout_token(std::uint64_t index) const {
  LONGHAUL_ASSERT(index < holdout_sequences_);
  const std::uint64_t block = index % block_begin_.size();
  const std::uint64_t within = index / block_begin_.size();
  return (block_begin_[block] + within) * shape_.sequence_length + block;
}

std::uint64_t Holdout::holdout_index(std::uint64_t place) const {
  LONGHAUL_ASSERT(place < holdout_sequences_);
  const std::uint64_t blocks = block_begin_.size();
  const std::uint64_t size = holdout_sequences_ / blocks;
  const std::uint64_t longer = holdout_sequences_ % blocks;  // the first blocks have one more
  const std::uint64_t in_longer = longer * (size + 1);
  if (place < in_longer) return place % (size + 1) * blocks + place / (size + 1);
  place -= in_longer;
  return place % size * blocks + longer + place / size;
}

}  // namespace longhaul::compnode
