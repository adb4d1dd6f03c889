// The index of a sharded model folder: which shard holds which tensor.
#pragma once

#include "proto/error.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace longhaul::compnode {

// Tensor name -> file name of its shard, a plain name that ends in ".safetensors".
using WeightsIndex = std::map<std::string, std::string, std::less<>>;

// Parses the text of `model.safetensors.index.json`. Refused: other JSON, a key twice, nesting
// beyond what the format has, shard names with a folder in them. Errors are kConfiguration.
[[nodiscard]] proto::Result<WeightsIndex> parse_weights_index(std::string_view json);

// The index's text; `total_bytes` is the size of all tensors.
[[nodiscard]] std::string render_weights_index(const WeightsIndex& index,
                                               std::uint64_t total_bytes);

}  // namespace longhaul::compnode
