// Writes the fleet's configuration, starts its processes, and takes both away again.
#include "daemon/cli/programs/local_fleet.hpp"

#include "daemon/host/machine.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <fstream>
#include <system_error>

#include <sys/stat.h>
#include <unistd.h>

namespace longhaul::daemon {

namespace {

constexpr std::string_view kPrefix = "longhaul-run-";
constexpr std::chrono::seconds kStopDeadline{20};
constexpr std::string_view kCoordinator = "coordinator";
constexpr std::string_view kNetworkName = "network";

// What the nodes need as long as they run.
bool is_service(std::string_view name) { return name == kCoordinator || name == kNetworkName; }

// A JSON string is a YAML string, whatever it holds.
std::string quoted(const std::string& text) { return nlohmann::json(text).dump(); }

// The process that made the folder is gone.
bool is_abandoned(const std::filesystem::path& folder) {
  const auto name = folder.filename().string();
  if (!name.starts_with(kPrefix)) return false;
  pid_t process = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, process);
  if (error != std::errc{} || stop != end || process <= 0) return false;
  struct stat status {};
  if (lstat(folder.c_str(), &status) != 0 || status.st_uid != geteuid()) return false;
  return ::kill(process, 0) != 0 && errno == ESRCH;
}

void remove_abandoned(const std::filesystem::path& parent) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    if (is_abandoned(entry.path())) std::filesystem::remove_all(entry.path(), ignored);
  }
}

proto::Error cannot(const std::string& what, const std::filesystem::path& path, int number) {
  return {proto::ErrorKind::kResource,
          fmt::format("cannot {} {}: {}: set TMPDIR to a folder that can be written to", what,
                      path.string(), std::strerror(number))};
}

}  // namespace

LocalFleet::LocalFleet(boost::asio::io_context& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      operator_keys_(proto::make_curve_key_pair()),
      deadline_(loop) {}

LocalFleet::~LocalFleet() {
  children_.clear();
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

proto::Result<std::unique_ptr<LocalFleet>> LocalFleet::start(boost::asio::io_context& loop,
                                                             Options options) {
  std::unique_ptr<LocalFleet> fleet(new LocalFleet(loop, std::move(options)));
  if (auto prepared = fleet->prepare(); !prepared) return prepared.error();
  return fleet;
}

proto::Result<void> LocalFleet::prepare() {
  std::error_code error;
  const auto parent = std::filesystem::temp_directory_path(error);
  if (error) return cannot("use", "TMPDIR", error.value());
  remove_abandoned(parent);
  const auto folder = parent / fmt::format("{}{}", kPrefix, getpid());
  if (mkdir(folder.c_str(), 0700) != 0) return cannot("make the folder", folder, errno);
  folder_ = folder;

  const auto own = proto::make_curve_key_pair();
  address_ = {.address = "ipc://" + (folder_ / "coordinator.sock").string(),
              .public_key = own.public_key};
  std::vector<proto::CurveKeyPair> keys;
  for (std::uint32_t i = 0; i < options_.nodes; ++i) {
    keys.push_back(proto::make_curve_key_pair());
    const auto file = folder_ / fmt::format("node-{}.key", i + 1);
    if (auto saved = proto::save_key_pair(file, keys.back()); !saved) return saved.error();
  }
  if (auto saved = proto::save_key_pair(folder_ / "coordinator.key", own); !saved) {
    return saved.error();
  }
  if (options_.wan) {
    if (auto started = start_network(); !started) return started.error();
  }
  const auto file = folder_ / "coordinator.yaml";
  if (auto written = write_file(file, coordinator_yaml(keys)); !written) return written.error();
  auto started = start_child({.name = std::string(kCoordinator),
                              .program = "longhaul-coordinator",
                              .arguments = {"--config", file.string()}});
  if (!started) return started.error();
  if (options_.wan) return {};
  return start_nodes();
}

proto::Result<void> LocalFleet::start_network() {
  return start_child({.name = std::string(kNetworkName),
                      .program = "longhaul-wan",
                      .arguments = to_arguments(*options_.wan),
                      .on_output = [this](const std::string& line) { on_network_line(line); }});
}

// The first line says how to enter the sites; what comes later is for the log.
void LocalFleet::on_network_line(const std::string& line) {
  if (!sites_.empty()) {
    if (options_.on_log) options_.on_log(fmt::format("{}: {}", kNetworkName, line));
    return;
  }
  if (stopping_) return;
  auto sites = parse_entrances(line);
  if (!sites) return tell_loss(sites.error());
  sites_ = std::move(*sites);
  if (auto started = start_nodes(); !started) tell_loss(started.error());
}

proto::Result<void> LocalFleet::start_nodes() {
  auto all = nodes(options_);
  for (std::size_t i = 0; i < all.size(); ++i) {
    auto& node = all[i];
    const auto file = folder_ / (node.name() + ".yaml");
    Start start{.name = node.name(),
                .program = "longhaul-compnode",
                .arguments = {"--config", file.string(), "--worker", options_.worker.string()}};
    node.set_host("127.0.0.1");
    if (!sites_.empty()) {
      const auto& site = sites_[i % sites_.size()];
      node.set_host(site.address);
      start.namespaces.assign(site.namespaces.begin(), site.namespaces.end());
    }
    if (auto written = write_file(file, node_yaml(node)); !written) return written.error();
    if (auto started = start_child(std::move(start)); !started) return started.error();
  }
  return {};
}

std::string LocalFleet::coordinator_yaml(const std::vector<proto::CurveKeyPair>& nodes) const {
  std::string text = fmt::format("listen: {}\nkey: coordinator.key\nstate: coordinator\npeers:\n",
                                 quoted(address_.address));
  constexpr const char* kPeer = "  - {{name: {}, public_key: {}, role: {}}}\n";
  text += fmt::format(kPeer, "user", quoted(operator_keys_.public_key), "operator");
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    text += fmt::format(kPeer, fmt::format("node-{}", i + 1), quoted(nodes[i].public_key), "node");
  }
  return text;
}

std::vector<wire::NodeInfo> LocalFleet::nodes(const Options& options) {
  std::vector<wire::NodeInfo> nodes;
  const auto devices = options.cuda.size();
  for (std::uint32_t i = 0; i < options.nodes; ++i) {
    auto& node = nodes.emplace_back();
    node.set_name(fmt::format("node-{}", i + 1));
    node.set_site(options.wan ? options.wan->sites[i % options.wan->sites.size()] : "here");
    auto& device = *node.add_devices();
    device.set_name("cpu");
    device.set_memory_bytes(options.memory_bytes);
    if (!options.cpu_shares.empty()) {
      device.set_cpu_share(options.cpu_shares[i % options.cpu_shares.size()]);
    }
    if (devices > 0) {
      device = options.cuda[i % devices];
      const auto sharing = (options.nodes - i % devices + devices - 1) / devices;
      device.set_memory_bytes(device.memory_bytes() / sharing);
    }
    device.set_threads(options.threads);
  }
  return nodes;
}

std::string LocalFleet::node_yaml(const wire::NodeInfo& node) const {
  const auto& device = node.devices(0);
  return fmt::format(
      "name: {0}\nsite: {6}\ncoordinator: {{address: {1}, public_key: {2}}}\n"
      "key: {0}.key\nadvertise: {7}\nstate: {0}\n"
      "devices:\n  - {{name: {3}, threads: {4}, memory_gb: {5}.{9:06}}}\n{8}",
      node.name(), quoted(address_.address), quoted(address_.public_key), quoted(device.name()),
      device.threads(), device.memory_bytes() / 1'000'000'000, quoted(node.site()), node.host(),
      device.cpu_share() > 0.0 ? fmt::format("limits: {{cpu_share: {}}}\n", device.cpu_share())
                               : "",
      device.memory_bytes() % 1'000'000'000 / 1'000);  // cut: a device has no more than it has
}

proto::Result<void> LocalFleet::write_file(const std::filesystem::path& file,
                                           const std::string& text) {
  std::ofstream stream(file);
  stream << text;
  stream.close();
  if (!stream) return cannot("write", file, errno);
  return {};
}

proto::Result<void> LocalFleet::start_child(Start start) {
  const auto path = find_program(start.program);
  if (!path) return path.error();
  const auto name = start.name;
  auto process = ChildProcess::start(
      loop_, {.program = *path,
              .arguments = std::move(start.arguments),
              .namespaces = std::move(start.namespaces),
              .on_output = std::move(start.on_output),
              .on_error =
                  [this, name](const std::string& line) {
                    if (options_.on_log) options_.on_log(name + ": " + line);
                  },
              .on_exit = [this, name](ProcessExit exit) { on_exit(name, exit); }});
  if (!process) return process.error();
  children_.push_back({name, std::move(*process)});
  return {};
}

void LocalFleet::on_exit(const std::string& name, ProcessExit exit) {
  const auto found = std::ranges::find(children_, name, &Child::name);
  const auto lines = found->process->last_error_lines();
  children_.erase(found);
  if (stopping_) return stop_next();
  // A daemon that refuses to start says why in its last line, and by its exit code whose fault it
  // is.
  const bool mistaken = !exit.signalled && exit.code == 2;
  const bool spoke = !exit.signalled && !lines.empty();
  tell_loss({mistaken ? proto::ErrorKind::kResource : proto::ErrorKind::kLost,
             fmt::format("{}{} {}{}", is_service(name) ? "the " : "", name, describe(exit),
                         spoke ? ": " + lines.back() : "")});
}

void LocalFleet::tell_loss(const proto::Error& error) {
  if (!std::exchange(told_loss_, true)) options_.on_loss(error);
}

void LocalFleet::stop(std::function<void()> on_stopped) {
  on_stopped_ = std::move(on_stopped);
  if (std::exchange(stopping_, true)) return;
  deadline_.expires_after(kStopDeadline);
  deadline_.async_wait([this](const boost::system::error_code& error) {
    if (!error) kill();
  });
  for (auto& child : children_) {
    if (!is_service(child.name)) child.process->signal(SIGTERM);
  }
  stop_next();
}

void LocalFleet::stop_next() {
  if (children_.empty()) {
    deadline_.cancel();
    boost::asio::post(loop_, [this] { std::exchange(on_stopped_, {})(); });
  } else if (is_service(children_.back().name)) {
    children_.back().process->signal(SIGTERM);
  }
}

void LocalFleet::kill() {
  for (auto& child : children_) child.process->signal(SIGKILL);
}

}  // namespace longhaul::daemon
