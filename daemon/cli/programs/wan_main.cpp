// longhaul-wan: an emulated wide-area network between network namespaces of this machine.
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/version.hpp"
#include "daemon/cli/programs/wan_command_line.hpp"
#include "daemon/wan/namespaces.hpp"
#include "daemon/wan/relay.hpp"
#include "daemon/wan/wan_options.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <iostream>
#include <string>

#include <sched.h>
#include <unistd.h>

namespace {

using namespace longhaul;
using namespace longhaul::daemon;
using nlohmann::json;

constexpr std::string_view kProgram = "longhaul-wan";

struct Options {
  WanOptions wan;
  std::uint32_t mtu = 1500;
  bool user_namespace = false;
};

std::string describe(const PathSetup& path, const std::vector<std::string>& sites) {
  const auto milliseconds = [](std::chrono::nanoseconds time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  const auto& is = path.conditions;
  return fmt::format("{} -> {}: {:.6g} Mbit/s, {:.6g} ms, jitter {:.6g} ms, loss {:.6g}",
                     sites[path.from], sites[path.to], is.rate_bits_per_s / 1e6,
                     milliseconds(is.delay), milliseconds(is.jitter), is.loss);
}

// Before any other program when there is something to carry: it takes little time each time. Not
// everybody may have it so; then packets are late by what the others take.
void ask_for_precedence() {
  const sched_param parameters{.sched_priority = 1};
  static_cast<void>(sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &parameters));
}

// What programs need to enter the sites: see wan_command_line.hpp.
json entrances(const SiteNetworks& networks, const std::vector<std::string>& sites) {
  json list = json::array();
  for (std::size_t i = 0; i < sites.size(); ++i) {
    const auto& port = networks.ports[i];
    list.push_back({{"name", sites[i]},
                    {"address", port.address},
                    {"namespace", fmt::format("/proc/{}/fd/{}", getpid(), port.network.get())}});
  }
  json user;
  if (networks.user_namespace) user = fmt::format("/proc/{}/ns/user", getpid());
  return {{"sites", std::move(list)}, {"user_namespace", std::move(user)}};
}

json outcome(const Relay& relay, const std::vector<std::string>& sites) {
  json paths = json::array();
  for (std::size_t i = 0; i < relay.paths().size(); ++i) {
    const auto& path = relay.paths()[i];
    const auto& counters = relay.counters(i);
    paths.push_back({{"from", sites[path.from]},
                     {"to", sites[path.to]},
                     {"packets", counters.packets},
                     {"bytes", counters.bytes},
                     {"dropped", counters.dropped},
                     {"lost", counters.lost}});
  }
  const auto& late = relay.lateness();
  const auto microseconds = [](std::chrono::nanoseconds time) {
    return std::chrono::duration<double, std::micro>(time).count();
  };
  const auto packets = static_cast<std::int64_t>(std::max<std::uint64_t>(1, late.packets));
  return {
      {"paths", std::move(paths)},
      {"refused", relay.refused()},
      {"late_us", {{"mean", microseconds(late.sum / packets)}, {"most", microseconds(late.most)}}}};
}

int carry(const Options& options) {
  auto plan = plan_wan(options.wan);
  if (!plan) {
    std::cerr << plan.error().message << '\n';
    return kUsage;
  }
  const std::vector<int> stop_signals{SIGINT, SIGTERM, SIGHUP};
  sigset_t set;
  sigemptyset(&set);
  for (const int number : stop_signals) sigaddset(&set, number);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  const auto& sites = options.wan.sites;
  // A loss is one of a single packet: where there are any, each segment must be its own.
  const auto networks = make_site_networks({.sites = sites.size(),
                                            .mtu = options.mtu,
                                            .segments = !plan->loses_packets,
                                            .user_namespace = options.user_namespace});
  if (!networks) return fail(kProgram, networks.error());
  if (networks->warning) print_error(kProgram, *networks->warning);
  for (const auto& path : plan->paths) std::cerr << describe(path, sites) << '\n';
  ask_for_precedence();
  std::cout << entrances(*networks, sites) << std::endl;
  Relay relay(*networks, {.paths = std::move(plan->paths),
                          .trace = std::move(plan->trace),
                          .seed = options.wan.seed,
                          .on_change = [&](std::chrono::nanoseconds at, const PathSetup& path) {
                            std::cerr << fmt::format("at {:.3f} s: {}\n",
                                                     std::chrono::duration<double>(at).count(),
                                                     describe(path, sites))
                                      << std::flush;
                          }});
  const auto ended = relay.run(stop_signals);
  if (!ended) return fail(kProgram, ended.error());
  std::cout << outcome(relay, sites) << std::endl;
  return kDone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Emulates a wide-area network: a network namespace per site, and between them rate, delay, "
      "jitter and loss. Prints how to enter the sites as a line of JSON, carries packets until a "
      "signal, then prints what it carried."};
  Options options;
  app.add_option("network", options.wan.network, "the table of paths between sites")
      ->required()
      ->type_name("FILE");
  add_wan_options(app, options.wan)->required();
  app.add_option("--mtu", options.mtu, "bytes of the longest packet")
      ->capture_default_str()
      ->check(CLI::Range(576u, 65000u));
  app.add_flag("--user-namespace", options.user_namespace,
               "make a user namespace even where none is needed");
  app.set_version_flag("--version", std::string(kVersion));
  try {
    app.parse(argc, argv);
    return carry(options);
  } catch (const CLI::ParseError& error) {
    return usage(kProgram, app, error);
  } catch (const std::exception& error) {
    print_error(kProgram, error.what());
    return kFailed;
  }
}
