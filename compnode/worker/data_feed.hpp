// Which sequences a micro-batch holds, and their tokens as tensors.
#pragma once

#include "compnode/data/dataset.hpp"
#include "compnode/data/sampler.hpp"
#include "compnode/execution/torch.hpp"
#include "proto/ids.hpp"

#include <cstdint>

namespace longhaul::compnode {

class DataFeed {
 public:
  struct Options {
    std::uint64_t seed = 0;
    std::uint32_t micro_batch_size = 0;
  };
  // `data` outlives the feed.
  DataFeed(const TokenDataset& data, Options options)
      : data_(data), sampler_(data.train_sequences(), options.seed), options_(options) {}

  // int64 [sequences, T] each.
  struct Batch {
    at::Tensor tokens;
    at::Tensor targets;
  };
  // `cursor`: training sequences drawn before this step.
  [[nodiscard]] Batch training(std::uint64_t cursor, proto::MicroBatchIndex micro_batch) const;
  // The held-out sequences [micro_batch * size, ...), `sequences` of them.
  [[nodiscard]] Batch holdout(proto::MicroBatchIndex micro_batch, std::int64_t sequences) const;

 private:
  const TokenDataset& data_;
  Sampler sampler_;
  Options options_;
};

}  // namespace longhaul::compnode
