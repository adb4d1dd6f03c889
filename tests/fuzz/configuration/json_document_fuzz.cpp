// Fuzz target: foreign JSON as a tree with places; it agrees with nlohmann-json on what is JSON,
// and every place lies inside the text.
#include "daemon/configuration/json_document.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace {

using longhaul::daemon::YamlNode;

void check(const YamlNode& node, std::size_t lines, std::size_t bytes) {
  const auto inside = [&](const longhaul::daemon::Position& position) {
    return position.line >= 1 && position.line <= lines && position.column >= 1 &&
           position.column <= bytes;
  };
  if (!inside(node.position)) std::abort();
  for (const YamlNode& item : node.items) check(item, lines, bytes);
  for (const auto& member : node.members) {
    if (!inside(member.position)) std::abort();
    check(member.value, lines, bytes);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto tree = longhaul::daemon::parse_json(text, "fuzz.json");
  const bool deep = !tree && tree.error().items.front().message.starts_with("nested deeper");
  if (!deep && tree.has_value() != nlohmann::json::accept(text)) std::abort();
  const auto lines = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  if (tree) check(*tree, lines, size);
  return 0;
}
