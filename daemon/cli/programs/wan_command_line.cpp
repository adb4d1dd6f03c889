// Options of the emulated network, and longhaul-wan's first line.
#include "daemon/cli/programs/wan_command_line.hpp"

#include <nlohmann/json.hpp>

namespace longhaul::daemon {

CLI::Option* add_wan_options(CLI::App& command, WanOptions& options) {
  auto* sites = command.add_option("--sites", options.sites, "the sites, as oregon,ohio,london")
                    ->delimiter(',')
                    ->type_name("SITE,SITE");
  const auto depends = [&](CLI::Option* option) {
    return option->capture_default_str()->needs(sites);
  };
  depends(command.add_option("--bandwidth-scale", options.scale.bandwidth,
                             "factor on the network's rates"))
      ->check(CLI::Range(1e-9, 1e9));
  depends(command.add_option("--delay-scale", options.scale.delay,
                             "factor on the network's delays and jitters"))
      ->check(CLI::Range(0.0, 1e6));
  depends(command.add_option("--trace", options.trace, "how the network changes over time"))
      ->type_name("FILE");
  depends(command.add_option("--wan-seed", options.seed, "of losses and jitter"));
  return sites;
}

proto::Result<std::vector<SiteEntrance>> parse_entrances(std::string_view line) {
  const proto::Error wrong{proto::ErrorKind::kInternal,
                           "longhaul-wan said something else than how to enter its sites"};
  const auto answer = nlohmann::json::parse(line, nullptr, false);
  if (!answer.is_object()) return wrong;
  try {
    std::vector<SiteEntrance> sites;
    for (const auto& site : answer.at("sites")) {
      auto& entrance = sites.emplace_back();
      entrance.name = site.at("name").get<std::string>();
      entrance.address = site.at("address").get<std::string>();
      const auto& user = answer.at("user_namespace");
      if (!user.is_null()) entrance.namespaces.push_back(user.get<std::string>());
      entrance.namespaces.push_back(site.at("namespace").get<std::string>());
    }
    return sites;
  } catch (const nlohmann::json::exception&) {
    return wrong;
  }
}

}  // namespace longhaul::daemon
