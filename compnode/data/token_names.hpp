// The pieces that both tokeniser formats share: a JSON object of ids, and a merge on a line.
#pragma once

#include "compnode/data/tokenizer_files.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string_view>
#include <vector>

namespace longhaul::compnode {

// {"name": id, ...}, ids in [0, 2^22).
[[nodiscard]] proto::Result<std::vector<NamedToken>> token_ids_from_json(
    const nlohmann::json& object);

// "left right": two names, neither empty, with one space between.
[[nodiscard]] proto::Result<NamedMerge> merge_from_line(std::string_view line);

}  // namespace longhaul::compnode
