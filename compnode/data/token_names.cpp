// Reads ids by name, and merges, with bounds.
#include "compnode/data/token_names.hpp"

#include "compnode/data/vocabulary.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace longhaul::compnode {

proto::Result<std::vector<NamedToken>> token_ids_from_json(const nlohmann::json& object) {
  if (!object.is_object()) {
    return proto::configuration_error("the vocabulary is not a JSON object of token: id");
  }
  std::vector<NamedToken> tokens;
  tokens.reserve(object.size());
  for (const auto& [name, id] : object.items()) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= Vocabulary::kMostTokens) {
      return proto::configuration_error(
          fmt::format("the id of token \"{}\" is {}, and must be an integer in [0, {})", name,
                      id.dump(), Vocabulary::kMostTokens));
    }
    tokens.push_back({name, id.get<std::uint32_t>()});
  }
  return tokens;
}

proto::Result<NamedMerge> merge_from_line(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || space + 1 == line.size() ||
      line.find(' ', space + 1) != std::string_view::npos) {
    return proto::configuration_error(
        fmt::format("\"{}\" is not two tokens with a space between", line.substr(0, 80)));
  }
  return NamedMerge{std::string(line.substr(0, space)), std::string(line.substr(space + 1))};
}

}  // namespace longhaul::compnode
