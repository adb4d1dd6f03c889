// longhaul: the command line.
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/version.hpp"

#include <exception>

namespace longhaul::daemon {

void add_json_option(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "for programs: JSON, one object per line");
}

}  // namespace longhaul::daemon

int main(int argc, char** argv) {
  using namespace longhaul::daemon;
  CommandLine line;
  line.app.description("Trains one model on hosts that only share the Internet.");
  line.app.set_version_flag("--version", std::string(kVersion));
  line.app.add_option("--config", line.config,
                      "which coordinator to ask [~/.config/longhaul/client.yaml]")
      ->type_name("FILE");
  line.app.add_option("--worker", line.worker,
                      "the worker program [LONGHAUL_WORKER, else longhaul-worker next to this "
                      "program or on PATH]")
      ->type_name("PROGRAM");
  line.app.require_subcommand(1);
  line.app.fallthrough();
  add_run_command(line);
  add_node_commands(line);
  add_job_commands(line);
  add_config_commands(line);
  add_worker_commands(line);
  add_plan_command(line);
  add_simulate_command(line);
  add_keys_commands(line);
  try {
    line.app.parse(argc, argv);
    return line.action();
  } catch (const CLI::ParseError& error) {
    return usage(kLonghaul, line.app, error);
  } catch (const std::exception& error) {
    print_error(kLonghaul, error.what());
    return kFailed;
  }
}
