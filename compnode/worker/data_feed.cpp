// Reads sequences from the data set into tensors.
#include "compnode/worker/data_feed.hpp"

namespace longhaul::compnode {
namespace {

template <class IndexOf>
DataFeed::Batch read_batch(const TokenDataset& data, Split split, std::int64_t sequences,
                           IndexOf index_of) {
  const auto length = static_cast<std::int64_t>(data.sequence_length());
  DataFeed::Batch batch{at::empty({sequences, length}, at::kLong),
                        at::empty({sequences, length}, at::kLong)};
  for (std::int64_t i = 0; i < sequences; ++i) {
    const auto row = [&](at::Tensor& tensor) {
      return std::span<std::int64_t>(tensor.data_ptr<std::int64_t>() + i * length,
                                     static_cast<std::size_t>(length));
    };
    data.read(split, index_of(static_cast<std::uint64_t>(i)), row(batch.tokens),
              row(batch.targets));
  }
  return batch;
}

}  // namespace

DataFeed::Batch DataFeed::training(std::uint64_t cursor, proto::MicroBatchIndex micro_batch) const {
  const std::uint64_t first = cursor + std::uint64_t{micro_batch.value} * options_.micro_batch_size;
  return read_batch(data_, Split::kTrain, options_.micro_batch_size,
                    [&](std::uint64_t i) { return sampler_.sequence_at(first + i); });
}

DataFeed::Batch DataFeed::holdout(proto::MicroBatchIndex micro_batch,
                                  std::int64_t sequences) const {
  const std::uint64_t first = std::uint64_t{micro_batch.value} * options_.micro_batch_size;
  return read_batch(data_, Split::kHoldout, sequences, [&](std::uint64_t i) { return first + i; });
}

}  // namespace longhaul::compnode
