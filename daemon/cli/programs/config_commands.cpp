// `longhaul config`: checking files, and every key there is.
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/configuration/check.hpp"

#include <nlohmann/json.hpp>

#include <iostream>
#include <memory>
#include <string>
#include <vector>

namespace longhaul::daemon {

namespace {

struct ConfigOptions {
  std::vector<std::filesystem::path> files;
  std::string kind;
  bool json = false;
};

nlohmann::ordered_json to_json(const Diagnostics& diagnostics) {
  auto errors = nlohmann::ordered_json::array();
  for (const auto& item : diagnostics.items) {
    errors.push_back({{"file", item.file},
                      {"line", item.position.line},
                      {"column", item.position.column},
                      {"message", item.message}});
  }
  return errors;
}

int check(const ConfigOptions& options) {
  bool good = true;
  const auto kind = file_kind(options.kind);
  for (const auto& file : options.files) {
    const auto checked = check_file(file, kind);
    good = good && checked.has_value();
    if (options.json) {
      nlohmann::ordered_json result{{"file", file.string()}, {"ok", checked.has_value()}};
      if (checked) result["kind"] = file_kind_name(*checked);
      result["errors"] = checked ? nlohmann::ordered_json::array() : to_json(checked.error());
      std::cout << result.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
                << '\n';
    } else if (checked) {
      std::cout << file.string() << ": a good " << file_kind_name(*checked) << " file\n";
    } else {
      std::cerr << to_string(checked.error()) << '\n';
    }
  }
  return good ? kDone : kUsage;
}

int reference(const ConfigOptions& options) {
  if (options.json) {
    std::cout << nlohmann::json{{"reference", configuration_reference()}}.dump() << '\n';
  } else {
    std::cout << configuration_reference();
  }
  return kDone;
}

}  // namespace

void add_config_commands(CommandLine& line) {
  auto* config = line.app.add_subcommand("config", "job files and the programs' configuration");
  config->require_subcommand(1);
  auto options = std::make_shared<ConfigOptions>();

  auto* check_command = config->add_subcommand("check", "every error of all files, with its place");
  check_command->add_option("files", options->files, "files of any kind")
      ->required()
      ->type_name("FILE");
  check_command->add_option("--kind", options->kind, "what they are [what their keys say]")
      ->check(CLI::IsMember({"job", "coordinator", "node", "client", "fleet", "profile", "graph"}));
  add_json_option(*check_command, options->json);
  check_command->callback(
      [&line, options] { line.action = [options] { return check(*options); }; });

  auto* reference_command = config->add_subcommand("reference", "every key of every kind of file");
  add_json_option(*reference_command, options->json);
  reference_command->callback(
      [&line, options] { line.action = [options] { return reference(*options); }; });
}

}  // namespace longhaul::daemon
