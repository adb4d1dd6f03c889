// longhaul-coordinator: membership, plans and job state of a fleet; no tensor passes through it.
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/signals.hpp"
#include "daemon/cli/programs/version.hpp"
#include "daemon/configuration/site_files.hpp"
#include "daemon/coordinator/coordinator_service.hpp"
#include "proto/channel/context.hpp"

#include <CLI/CLI.hpp>

#include <iostream>

namespace {

using namespace longhaul;
using namespace longhaul::daemon;

constexpr std::string_view kProgram = "longhaul-coordinator";

AccessList access_list(const CoordinatorConfiguration& configuration) {
  AccessList access;
  for (const auto& peer : configuration.peers) {
    if (peer.role == PeerRole::kNode) {
      access.nodes.emplace(peer.public_key, peer.name);
    } else {
      access.operators.insert(peer.public_key);
    }
  }
  return access;
}

void log(const std::string& line) { std::cerr << line << std::endl; }

int serve(const CoordinatorConfiguration& configuration) {
  const auto keys = proto::load_or_make_key_pair(configuration.key);
  if (!keys) return fail(kProgram, keys.error());
  proto::Context context;
  boost::asio::io_context loop;
  CoordinatorService::Options options;
  options.listen = configuration.listen;
  options.keys = *keys;
  options.state = configuration.state;
  options.coordinator.access = access_list(configuration);
  options.log = log;
  auto service = CoordinatorService::open(context.zmq(), loop, std::move(options));
  if (!service) return fail(kProgram, service.error());
  const StopSignals signals(loop, [&](const std::string& name) {
    log("stops: " + name);
    loop.stop();
  });
  log("listens on " + (*service)->endpoint() + " with the public key " + keys->public_key);
  loop.run();
  return kDone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Plans and watches jobs on a fleet of CompNodes. See `longhaul config reference`."};
  std::filesystem::path file = "/etc/longhaul/coordinator.yaml";
  app.add_option("--config", file, "its configuration")->capture_default_str();
  app.set_version_flag("--version", std::string(kVersion));
  try {
    app.parse(argc, argv);
    const auto configuration = load_coordinator_configuration(file);
    if (!configuration) {
      std::cerr << to_string(configuration.error()) << '\n';
      return kUsage;
    }
    return serve(*configuration);
  } catch (const CLI::ParseError& error) {
    return usage(kProgram, app, error);
  } catch (const proto::Failed& failed) {
    print_error(kProgram, failed.what());
    return kFailed;
  } catch (const std::exception& error) {
    print_error(kProgram, error.what());
    return kFailed;
  }
}
