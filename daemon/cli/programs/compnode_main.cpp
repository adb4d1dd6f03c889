// longhaul-compnode: the daemon of one host, which supervises the workers on its devices.
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/signals.hpp"
#include "daemon/cli/programs/version.hpp"
#include "daemon/cli/programs/worker_program.hpp"
#include "daemon/configuration/site_files.hpp"
#include "daemon/host/machine.hpp"
#include "daemon/node/devices.hpp"
#include "daemon/node/node_service.hpp"
#include "proto/channel/context.hpp"

#include <CLI/CLI.hpp>

#include <iostream>
#include <optional>

namespace {

using namespace longhaul;
using namespace longhaul::daemon;

constexpr std::string_view kProgram = "longhaul-compnode";

void log(const std::string& line) { std::cerr << line << std::endl; }

proto::Result<std::vector<wire::Device>> find_devices(const NodeConfiguration& configuration,
                                                      const std::filesystem::path& worker) {
  std::vector<DeviceRequest> requests;
  for (const auto& device : configuration.devices) {
    requests.push_back({.name = device.name,
                        .threads = device.threads,
                        .memory_bytes = static_cast<std::uint64_t>(device.memory_gb * 1e9),
                        .cpu_share = configuration.limits.cpu_share});
  }
  const HostResources host{.threads = available_threads(),
                           .memory_bytes = available_memory_bytes(),
                           .total_memory_bytes = total_memory_bytes(),
                           .processor = processor_name()};
  std::vector<wire::Device> cuda;
  if (needs_probe(requests)) {
    const auto answer = run_worker(worker, {"probe", "--quick"}, {});
    if (!answer) return answer.error();
    auto probed = parse_probe(*answer);
    if (!probed) return probed.error();
    cuda = std::move(*probed);
  }
  return resolve_devices(requests, host, cuda);
}

// Workers of a node that is only ever dialled from this machine need not listen to others.
std::string bind_host(const std::string& advertise) {
  const bool local = advertise == "localhost" || advertise.starts_with("127.");
  return local ? "127.0.0.1" : "0.0.0.0";
}

proto::Result<NodeService::Options> options_from(const NodeConfiguration& configuration,
                                                 const std::filesystem::path& given_worker) {
  NodeService::Options options;
  auto worker = find_worker(given_worker);
  if (!worker) return worker.error();
  options.worker = std::move(*worker);
  auto devices = find_devices(configuration, options.worker);
  if (!devices) return devices.error();
  auto keys = proto::load_or_make_key_pair(configuration.key);
  if (!keys) return keys.error();
  options.keys = std::move(*keys);
  auto& info = options.node.info;
  info.set_name(configuration.name);
  info.set_site(configuration.site);
  info.set_version(std::string(kVersion));
  info.set_host(configuration.advertise);
  info.set_machine(machine_id());
  for (auto& device : *devices) *info.add_devices() = std::move(device);
  options.node.bind_host = bind_host(configuration.advertise);
  options.coordinator = configuration.coordinator.address;
  options.coordinator_key = configuration.coordinator.public_key;
  options.state = configuration.state;
  options.log = log;
  return options;
}

int serve(const NodeConfiguration& configuration, const std::filesystem::path& worker) {
  auto options = options_from(configuration, worker);
  if (!options) return fail(kProgram, options.error());
  log("this node's public key is " + options->keys.public_key);
  proto::Context context;
  boost::asio::io_context loop;
  proto::Result<void> end;
  options->on_end = [&](proto::Result<void> how) {
    end = std::move(how);
    loop.stop();
  };
  auto service = NodeService::open(context.zmq(), loop, std::move(*options));
  if (!service) return fail(kProgram, service.error());
  const StopSignals signals(
      loop, [&](const std::string& name) { (*service)->stop("stopped by " + name); });
  loop.run();
  return end ? kDone : fail(kProgram, end.error());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Offers this host's devices to a coordinator. See `longhaul config reference`."};
  std::filesystem::path file = "/etc/longhaul/node.yaml";
  std::filesystem::path worker;
  app.add_option("--config", file, "its configuration")->capture_default_str();
  app.add_option("--worker", worker,
                 "the worker program [LONGHAUL_WORKER, else longhaul-worker next to this program "
                 "or on PATH]");
  app.set_version_flag("--version", std::string(kVersion));
  try {
    app.parse(argc, argv);
    const auto configuration = load_node_configuration(file);
    if (!configuration) {
      std::cerr << to_string(configuration.error()) << '\n';
      return kUsage;
    }
    return serve(*configuration, worker);
  } catch (const CLI::ParseError& error) {
    return usage(kProgram, app, error);
  } catch (const std::exception& error) {
    print_error(kProgram, error.what());
    return kFailed;
  }
}
