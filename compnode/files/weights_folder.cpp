// Opens model.safetensors or the shards of its index.
#include "compnode/files/weights_folder.hpp"

#include "compnode/files/weights_index.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <map>
#include <string_view>
#include <utility>

namespace longhaul::compnode {
namespace {

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";

proto::Result<WeightsIndex> read_index(const std::filesystem::path& path) {
  const auto file = MappedFile::open(path);
  if (!file) return file.error();
  if (file->bytes().size() > kMaxHeaderBytes) {
    return proto::configuration_error(
        fmt::format("{}: larger than {} bytes: no index", path.string(), kMaxHeaderBytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  auto index = parse_weights_index(text);
  if (!index) return proto::with_context(path.string(), index.error());
  return index;
}

proto::Error no_weights(const std::filesystem::path& folder) {
  const bool pickled = std::filesystem::exists(folder / "pytorch_model.bin") ||
                       std::filesystem::exists(folder / "pytorch_model.bin.index.json");
  return proto::configuration_error(fmt::format(
      "{}: has neither {} nor {}{}", folder.string(), kSingleFile, kIndexFile,
      pickled ? ": pytorch_model.bin is not read; save the model again with "
                "save_pretrained(..., safe_serialization=True)"
              : ""));
}

}  // namespace

proto::Result<WeightsFolder> WeightsFolder::open(const std::filesystem::path& folder) {
  WeightsFolder weights;
  if (std::filesystem::exists(folder / kSingleFile)) {
    auto file = SafetensorsFile::open(folder / kSingleFile);
    if (!file) return file.error();
    weights.tensors_ = file->tensors();
    weights.files_.push_back(std::move(*file));
    return weights;
  }
  if (!std::filesystem::exists(folder / kIndexFile)) return no_weights(folder);
  const auto index = read_index(folder / kIndexFile);
  if (!index) return index.error();
  if (const auto added = weights.add_shards(folder, *index); !added) return added.error();
  return weights;
}

proto::Result<void> WeightsFolder::add_shards(const std::filesystem::path& folder,
                                              const WeightsIndex& index) {
  std::map<std::string_view, std::size_t> expected;  // tensors by shard
  for (const auto& [tensor, shard] : index) ++expected[shard];
  for (const auto& [shard, tensors] : expected) {
    auto file = SafetensorsFile::open(folder / shard);
    if (!file) return file.error();
    for (const auto& [name, view] : file->tensors()) {
      const auto entry = index.find(name);
      if (entry == index.end() || entry->second != shard) {
        return proto::configuration_error(
            fmt::format("{}: tensor {} is not there according to {}", (folder / shard).string(),
                        proto::quoted(name), kIndexFile));
      }
      tensors_.emplace(name, view);
    }
    if (file->tensors().size() != tensors) {
      for (const auto& [name, holder] : index) {
        if (holder == shard && !file->tensors().contains(name)) {
          return proto::configuration_error(
              fmt::format("{}: tensor {} is missing, which {} puts there",
                          (folder / shard).string(), proto::quoted(name), kIndexFile));
        }
      }
    }
    files_.push_back(std::move(*file));
  }
  return {};
}

}  // namespace longhaul::compnode
