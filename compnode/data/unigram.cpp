// Counts the training targets, and scores the held-out ones with them.
#include "compnode/data/unigram.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace longhaul::compnode {
namespace {

std::vector<std::uint64_t> count_targets(const TokenDataset& dataset, Split split) {
  std::vector<std::uint64_t> counts(static_cast<std::size_t>(dataset.vocabulary_size()));
  std::vector<std::int64_t> inputs(dataset.sequence_length());
  std::vector<std::int64_t> targets(dataset.sequence_length());
  for (std::uint64_t i = 0; i < dataset.sequences(split); ++i) {
    dataset.read(split, i, inputs, targets);
    for (const std::int64_t target : targets) ++counts[static_cast<std::size_t>(target)];
  }
  return counts;
}

}  // namespace

double unigram_cross_entropy(const TokenDataset& dataset) {
  LONGHAUL_ASSERT(dataset.holdout_sequences() > 0);
  const auto train = count_targets(dataset, Split::kTrain);
  const auto held_out = count_targets(dataset, Split::kHoldout);
  const auto unseen = static_cast<double>(std::ranges::count(train, std::uint64_t{0}));
  const double seen = static_cast<double>(train.size()) - unseen;
  double total = unseen > 0 ? seen : 0.0;
  for (const std::uint64_t count : train) total += static_cast<double>(count);

  double nats = 0.0;
  double targets = 0.0;
  for (std::size_t id = 0; id < train.size(); ++id) {
    if (held_out[id] == 0) continue;
    const double weight = train[id] > 0 ? static_cast<double>(train[id]) : seen / unseen;
    nats -= static_cast<double>(held_out[id]) * std::log(weight / total);
    targets += static_cast<double>(held_out[id]);
  }
  return nats / targets;
}

}  // namespace longhaul::compnode
