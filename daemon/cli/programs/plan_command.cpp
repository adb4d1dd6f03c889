// `longhaul plan`: what would run where, before anything runs. Each source of plans has its own
// options and its own file.
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/galvatron_command.hpp"

#include <memory>

namespace longhaul::daemon {

namespace {

struct PlanOptions {
  GalvatronOptions galvatron;
  bool json = false;
};

}  // namespace

void add_plan_command(CommandLine& line) {
  auto options = std::make_shared<PlanOptions>();
  auto* command =
      line.app.add_subcommand("plan", "how to spread a model over devices, and how fast that is");
  add_galvatron_options(*command, options->galvatron);
  command->get_option("--galvatron-profile")->required();  // the only source of plans so far
  add_json_option(*command, options->json);
  command->callback([&line, options] {
    line.action = [options] { return plan_from_galvatron(options->galvatron, options->json); };
  });
}

}  // namespace longhaul::daemon
