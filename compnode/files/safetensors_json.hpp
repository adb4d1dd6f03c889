// The JSON of a safetensors header, read without building a tree of it.
#pragma once

#include "compnode/files/safetensors_header.hpp"
#include "proto/error.hpp"

#include <string_view>

namespace longhaul::compnode {

// Metadata and entries in the order of the text; grammar, keys, dtypes and signs are checked,
// offsets and shapes are not yet related to each other. Memory is linear in the text.
[[nodiscard]] proto::Result<SafetensorsHeader> parse_header_json(std::string_view json);

}  // namespace longhaul::compnode
