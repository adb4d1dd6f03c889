// Copies the sequences of a split into a file of 16- or 32-bit integers.
#include "compnode/data/split_bin.hpp"

#include "compnode/files/atomic_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

namespace longhaul::compnode {
namespace {

template <class Integer>
proto::Result<void> append_as(AtomicFile& file, std::span<const std::int64_t> ids) {
  std::vector<Integer> narrow(ids.size());
  std::ranges::transform(ids, narrow.begin(),
                         [](std::int64_t id) { return static_cast<Integer>(id); });
  return file.append(std::as_bytes(std::span<const Integer>(narrow)));
}

}  // namespace

proto::Result<SplitBin> write_split_bin(const TokenDataset& dataset, Split split,
                                        const std::filesystem::path& path, BinLayout layout) {
  if (dataset.sequences(split) == 0) {
    return proto::configuration_error(
        fmt::format("{}: the split has no sequences to write; set data.holdout", path.string()));
  }
  auto file = AtomicFile::create(path);
  if (!file) return file.error();
  SplitBin result;
  result.token_bits = dataset.vocabulary_size() <= 1 << 16 ? 16 : 32;
  const auto append = [&](std::span<const std::int64_t> ids) {
    result.tokens += ids.size();
    return result.token_bits == 16 ? append_as<std::uint16_t>(*file, ids)
                                   : append_as<std::uint32_t>(*file, ids);
  };

  const std::size_t length = dataset.sequence_length();
  std::vector<std::int64_t> inputs(length);
  std::vector<std::int64_t> targets(length);
  for (std::uint64_t i = 0; i < dataset.sequences(split); ++i) {
    dataset.read(split, layout == BinLayout::kRows ? i : dataset.index_in_text(split, i), inputs,
                 targets);
    if (auto written = append(inputs); !written) return written.error();
    const bool last = i + 1 == dataset.sequences(split);
    if (layout == BinLayout::kRows || last) {
      if (auto written = append(std::span(targets).last(1)); !written) return written.error();
    }
  }
  if (auto committed = file->commit(); !committed) return committed.error();
  return result;
}

}  // namespace longhaul::compnode
