// Wires the node's state machine to ZeroMQ, child processes and a timer.
#include "daemon/node/node_service.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace longhaul::daemon {

namespace {

constexpr milliseconds kTick{100};

std::string last_words(const ChildProcess& process) {
  const auto lines = process.last_error_lines();
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (line->find_first_not_of(" \t\r") != std::string::npos) return *line;
  }
  return {};
}

}  // namespace

NodeService::NodeService(boost::asio::io_context& loop, Options options)
    : loop_(loop),
      options_(std::move(options)),
      node_(options_.node, clock_, *this, *this),
      local_keys_(proto::make_curve_key_pair()),
      timer_(loop) {}

NodeService::~NodeService() {
  if (lock_ >= 0) close(lock_);
}

proto::Result<std::unique_ptr<NodeService>> NodeService::open(zmq::context_t& context,
                                                              boost::asio::io_context& loop,
                                                              Options options) {
  std::unique_ptr<NodeService> service(new NodeService(loop, std::move(options)));
  if (auto started = service->start(context); !started) return started.error();
  return service;
}

proto::Result<void> NodeService::start(zmq::context_t& context) {
  if (auto taken = take_folder(); !taken) return taken.error();
  auto local = proto::ControlServer::open(
      context, loop_,
      {.bind = "ipc://" + (options_.state / "workers.sock").string(),
       .keys = local_keys_,
       .allow =
           [this](const std::string& key) {
             for (const auto& [id, worker] : workers_) {
               if (worker.public_key == key) return true;
             }
             return false;
           },
       .on_message =
           [this](const proto::ControlPeer& peer, wire::Envelope message) {
             on_worker_message(peer, message);
           }});
  if (!local) return local.error();
  local_ = std::move(*local);
  auto uplink = proto::ControlClient::open(
      context, loop_,
      {.endpoint = options_.coordinator,
       .server_key = options_.coordinator_key,
       .keys = options_.keys,
       .on_message = [this](const wire::Envelope& message) { on_coordinator_message(message); },
       .on_connection =
           [this](bool connected, const std::string& reason) {
             node_.on_connection(connected, reason);
             settle();
           }});
  if (!uplink) return uplink.error();
  uplink_ = std::move(*uplink);
  const auto& devices = options_.node.info.devices();
  profiles_ = std::make_unique<ProfileService>(
      loop_, ProfileService::Options{.worker = options_.worker,
                                     .folder = options_.state / "profiles",
                                     .devices = {devices.begin(), devices.end()},
                                     .on_done =
                                         [this](const wire::ProfileMeasured& measured) {
                                           wire::Envelope answer;
                                           *answer.mutable_profile_measured() = measured;
                                           send(answer);
                                         },
                                     .log = options_.log});
  tick();
  return {};
}

// Two daemons in one folder would take each other's socket.
proto::Result<void> NodeService::take_folder() {
  std::error_code error;
  std::filesystem::create_directories(options_.state, error);
  if (!error) {
    std::filesystem::permissions(options_.state, std::filesystem::perms::owner_all, error);
  }
  if (error) {
    return proto::Error{proto::ErrorKind::kResource,
                        fmt::format("cannot use the folder {}: {}: choose another `state` folder",
                                    options_.state.string(), error.message())};
  }
  const auto file = options_.state / "lock";
  lock_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ >= 0 && flock(lock_, LOCK_EX | LOCK_NB) == 0) return {};
  return proto::Error{
      proto::ErrorKind::kResource,
      errno == EWOULDBLOCK
          ? fmt::format("another longhaul-compnode uses {}: stop it, or choose another `state` "
                        "folder",
                        options_.state.string())
          : fmt::format("cannot lock {}: {}", file.string(), std::strerror(errno))};
}

void NodeService::on_coordinator_message(const wire::Envelope& message) {
  if (message.has_measure_profile() && profiles_) profiles_->measure(message.measure_profile());
  node_.on_coordinator_message(message);
  settle();
}

void NodeService::stop(const std::string& reason) {
  profiles_.reset();
  if (std::exchange(stop_requested_, true)) {
    node_.kill_workers();
  } else {
    node_.stop(reason);
  }
  settle();
}

bool NodeService::send(const wire::Envelope& message) { return uplink_->send(message); }

proto::Result<void> NodeService::spawn(const WorkerId& id, const wire::Stage& stage) {
  const auto keys = proto::make_curve_key_pair();
  wire::WorkerBootstrap bootstrap;
  bootstrap.set_endpoint(local_->endpoint());
  bootstrap.set_server_key(local_keys_.public_key);
  bootstrap.set_public_key(keys.public_key);
  bootstrap.set_secret_key(keys.secret_key);
  set_worker_id(bootstrap, id);
  workers_[id].public_key = keys.public_key;
  auto process = ChildProcess::start(
      loop_, {.program = options_.worker,
              .arguments = {"serve"},
              .input = bootstrap.SerializeAsString(),
              .on_output = {},
              .on_error =
                  [this, id](const std::string& line) {
                    options_.log(fmt::format("{} stage {}: {}", id.job_id, id.stage, line));
                  },
              .on_exit = [this, id](ProcessExit exit) { on_worker_exit(id, exit); }});
  if (!process) {
    workers_.erase(id);
    return process.error();
  }
  workers_[id].process = std::move(*process);
  if (auto limited = limit(id, stage); !limited) {
    workers_.erase(id);
    return limited.error();
  }
  return {};
}

// Holds the worker to what the node's limits leave it.
proto::Result<void> NodeService::limit(const WorkerId& id, const wire::Stage& stage) {
  for (const auto& device : options_.node.info.devices()) {
    if (device.name() != stage.device() || device.cpu_share() <= 0.0) continue;
    const CpuLimit limit{.share = device.cpu_share(), .threads = std::max(1u, stage.threads())};
    auto share = CpuShare::hold(workers_[id].process->id(), limit);
    if (!share) return share.error();
    workers_[id].share = std::move(*share);
  }
  return {};
}

bool NodeService::send(const WorkerId& id, const wire::Envelope& message) {
  const auto found = workers_.find(id);
  return found != workers_.end() && found->second.peer &&
         local_->send(*found->second.peer, message);
}

void NodeService::signal(const WorkerId& id, int number) {
  if (const auto found = workers_.find(id); found != workers_.end()) {
    found->second.process->signal(number);
  }
}

void NodeService::on_worker_message(const proto::ControlPeer& peer, const wire::Envelope& message) {
  for (auto& [id, worker] : workers_) {
    if (worker.public_key != peer.public_key) continue;
    worker.peer = peer;
    node_.on_worker_message(WorkerId(id), message);
    break;
  }
  settle();
}

void NodeService::on_worker_exit(const WorkerId& id, ProcessExit exit) {
  const auto found = workers_.find(id);
  const auto line = last_words(*found->second.process);
  // The entry stays for the worker's last messages until the node has done with it.
  node_.on_worker_exit(WorkerId(id), exit, line);
  settle();
}

void NodeService::tick() {
  node_.on_tick(clock_.now());
  timer_.expires_after(kTick);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) tick();
  });
  settle();
}

void NodeService::settle() {
  for (auto& line : node_.take_log()) options_.log(std::move(line));
  std::erase_if(workers_, [this](const auto& entry) { return !node_.supervises(entry.first); });
  if (ended_ || !(node_.stopped() || node_.refused())) return;
  ended_ = true;
  timer_.cancel();
  boost::asio::post(loop_, [this] {
    const auto& refused = node_.refused();
    options_.on_end(refused ? proto::Result<void>(*refused) : proto::Result<void>());
  });
}

}  // namespace longhaul::daemon
