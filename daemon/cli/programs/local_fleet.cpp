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

// A JSON string is a YAML string, whatever it holds.
std::string yaml_quoted(const std::string& text) { return nlohmann::json(text).dump(); }

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
  std::vector<proto::CurveKeyPair> nodes;
  for (std::uint32_t i = 0; i < options_.nodes; ++i) {
    nodes.push_back(proto::make_curve_key_pair());
    const auto file = folder_ / fmt::format("node-{}.key", i + 1);
    if (auto saved = proto::save_key_pair(file, nodes.back()); !saved) return saved.error();
  }
  if (auto saved = proto::save_key_pair(folder_ / "coordinator.key", own); !saved) {
    return saved.error();
  }
  if (auto started = start_child("coordinator", "longhaul-coordinator", coordinator_yaml(nodes));
      !started) {
    return started.error();
  }
  for (std::uint32_t i = 0; i < options_.nodes; ++i) {
    const auto name = fmt::format("node-{}", i + 1);
    if (auto started = start_child(name, "longhaul-compnode", node_yaml(i)); !started) {
      return started.error();
    }
  }
  return {};
}

std::string LocalFleet::coordinator_yaml(const std::vector<proto::CurveKeyPair>& nodes) const {
  std::string text = fmt::format("listen: {}\nkey: coordinator.key\nstate: coordinator\npeers:\n",
                                 yaml_quoted(address_.address));
  constexpr const char* kPeer = "  - {{name: {}, public_key: {}, role: {}}}\n";
  text += fmt::format(kPeer, "user", yaml_quoted(operator_keys_.public_key), "operator");
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    text += fmt::format(kPeer, fmt::format("node-{}", i + 1), yaml_quoted(nodes[i].public_key), "node");
  }
  return text;
}

std::string LocalFleet::node_yaml(std::uint32_t index) const {
  std::string device = "cpu";
  std::uint64_t memory = options_.memory_bytes;
  if (const auto count = options_.cuda.size(); count > 0) {
    const auto& given = options_.cuda[index % count];
    device = given.name();
    const auto sharing = (options_.nodes - index % count + count - 1) / count;
    memory = given.memory_bytes() / sharing;
  }
  return fmt::format(
      "name: node-{0}\nsite: here\ncoordinator: {{address: {1}, public_key: {2}}}\n"
      "key: node-{0}.key\nadvertise: 127.0.0.1\nstate: node-{0}\n"
      "devices:\n  - {{name: {3}, threads: {4}, memory_gb: {5:.6f}}}\n",
      index + 1, yaml_quoted(address_.address), yaml_quoted(address_.public_key), yaml_quoted(device),
      options_.threads, static_cast<double>(memory) / 1e9);
}

proto::Result<void> LocalFleet::start_child(const std::string& name, const std::string& program,
                                            const std::string& configuration) {
  const auto path = find_program(program);
  if (!path) return path.error();
  const auto file = folder_ / (name + ".yaml");
  std::ofstream stream(file);
  stream << configuration;
  stream.close();
  if (!stream) return cannot("write", file, errno);
  std::vector<std::string> arguments{"--config", file.string()};
  if (program == "longhaul-compnode") {
    arguments.insert(arguments.end(), {"--worker", options_.worker.string()});
  }
  auto process = ChildProcess::start(
      loop_, {.program = *path,
              .arguments = arguments,
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
  if (stopping_) {
    stop_next();
  } else if (!std::exchange(told_loss_, true)) {
    // A daemon that refuses to start says why in its last line, and by its exit code whose fault it
    // is.
    const bool mistaken = !exit.signalled && exit.code == 2;
    const bool spoke = !exit.signalled && !lines.empty();
    options_.on_loss(
        {mistaken ? proto::ErrorKind::kResource : proto::ErrorKind::kLost,
         fmt::format("{} {}{}", name == "coordinator" ? "the coordinator" : name, describe(exit),
                     spoke ? ": " + lines.back() : "")});
  }
}

void LocalFleet::stop(std::function<void()> on_stopped) {
  on_stopped_ = std::move(on_stopped);
  if (std::exchange(stopping_, true)) return;
  deadline_.expires_after(kStopDeadline);
  deadline_.async_wait([this](const boost::system::error_code& error) {
    if (!error) kill();
  });
  for (auto& child : children_) {
    if (child.name != "coordinator") child.process->signal(SIGTERM);
  }
  stop_next();
}

void LocalFleet::stop_next() {
  if (children_.empty()) {
    deadline_.cancel();
    boost::asio::post(loop_, [this] { std::exchange(on_stopped_, {})(); });
  } else if (children_.size() == 1 && children_.front().name == "coordinator") {
    children_.front().process->signal(SIGTERM);
  }
}

void LocalFleet::kill() {
  for (auto& child : children_) child.process->signal(SIGKILL);
}

}  // namespace longhaul::daemon
