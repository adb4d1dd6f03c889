// The reference of all configuration files, from the tables that read them.
#include "daemon/configuration/check.hpp"
#include "daemon/configuration/tables.hpp"

#include <fmt/format.h>

#include <array>

namespace longhaul::daemon {
namespace {

std::string presence_text(const Presence& presence) {
  switch (presence.kind) {
    case Presence::Kind::kRequired:
      return "required";
    case Presence::Kind::kDefault:
      return fmt::format("`{}`", presence.text);
    case Presence::Kind::kOptional:
      return std::string(presence.text);
  }
  return {};
}

// One table per mapping, the mappings within it behind it.
void append(std::string& out, const MappingDescription& description, const std::string& path) {
  if (!path.empty()) out += fmt::format("### `{}`\n\n{}.\n\n", path, description.title);
  out += "| key | must be | default | meaning |\n|---|---|---|---|\n";
  for (const KeyDescription& key : description.keys) {
    out += fmt::format("| `{}` | {} | {} | {} |\n", key.key, key.expected,
                       presence_text(key.presence), key.documentation);
  }
  out += '\n';
  for (const KeyDescription& key : description.keys) {
    if (key.mapping == nullptr) continue;
    append(out, *key.mapping,
           fmt::format("{}{}{}{}", path, path.empty() ? "" : ".", key.key, key.list ? "[]" : ""));
  }
}

}  // namespace

std::string configuration_reference() {
  std::string out =
      "# Configuration files\n\n"
      "YAML 1.2 without anchors, aliases and tags. Unknown and duplicate keys are errors. "
      "Relative\n"
      "paths are taken from the folder of the file they stand in; `~/` is the user's home.\n"
      "`longhaul config check FILE` reports every error of a file as `file:line:column: "
      "message`.\n\n";
  const std::array<const MappingDescription*, 6> files{&job_table(),   &coordinator_table(),
                                                       &node_table(),  &client_table(),
                                                       &fleet_table(), &profile_table()};
  for (const MappingDescription* file : files) {
    out += fmt::format("## {}\n\n", file->title);
    append(out, *file, "");
  }
  out.pop_back();
  return out;
}

}  // namespace longhaul::daemon
