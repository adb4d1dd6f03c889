// Checks the problem before the profile: which degrees a profile must have depends on the devices.
#include "daemon/cli/programs/galvatron_command.hpp"

#include "daemon/cli/galvatron_plan.hpp"
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/configuration/galvatron_profile.hpp"
#include "scheduler/galvatron/search.hpp"

#include <iostream>

namespace longhaul::daemon {

void add_galvatron_options(CLI::App& command, GalvatronOptions& options) {
  constexpr const char* kGroup = "From a profile of Galvatron's";
  auto* profile = command.add_option("--galvatron-profile", options.profile,
                                     "the folder with computation_profile_sequence.json, "
                                     "memory_profile_sequence_sp.json and hardware.json");
  profile->type_name("DIR")->group(kGroup);
  const auto add = [&](const char* name, auto& value, const char* meaning) {
    auto* option = command.add_option(name, value, meaning);
    option->group(kGroup)->needs(profile);
    profile->needs(option);
    return option;
  };
  add("--layers", options.layers, "layers of the model, all alike");
  add("--hidden", options.hidden, "width of an activation");
  add("--sequence", options.sequence, "tokens in a sample");
  add("--devices", options.devices, "alike; a power of two");
  add("--memory-gb", options.memory_gb, "of a device, in 2^30 bytes")
      ->check(CLI::Range(0.001, 1024.0));
  add("--batch", options.batch, "samples per step");
  add("--chunks", options.chunks, "micro-batches per step; divides the batch");
  command.add_flag("--coarse", options.coarse, "one strategy for all layers")
      ->group(kGroup)
      ->needs(profile);
}

int plan_from_galvatron(const GalvatronOptions& options, bool json) {
  namespace galvatron = scheduler::galvatron;
  const galvatron::Problem problem{
      .layers = options.layers,
      .hidden = options.hidden,
      .sequence = options.sequence,
      .devices = options.devices,
      .memory_mb = static_cast<std::uint64_t>(options.memory_gb * 1024.0),
      .batch = options.batch,
      .chunks = options.chunks,
      .one_for_all = options.coarse};
  if (const auto good = galvatron::check(problem); !good) return fail(kLonghaul, good.error());
  const auto profile = read_galvatron_profile(options.profile, options.devices);
  if (!profile) {
    std::cerr << to_string(profile.error()) << '\n';
    return kUsage;
  }
  const auto plan = galvatron::search(*profile, problem);
  if (!plan) return fail(kLonghaul, plan.error());
  std::cout << (json ? galvatron_plan_json(*plan) + '\n' : galvatron_plan_text(*plan));
  return kDone;
}

}  // namespace longhaul::daemon
