// Wires the coordinator's state machine to ZeroMQ, SQLite and a timer.
#include "daemon/coordinator/coordinator_service.hpp"

#include <fmt/format.h>

#include <utility>

namespace longhaul::daemon {

namespace {

constexpr milliseconds kTick{200};

std::string state_line(const wire::JobStatus& job) {
  const auto who = fmt::format("{} ({})", job.id(), job.name());
  switch (job.state()) {
    case wire::PREPARING:
      return fmt::format("{} prepares, stages: {}", who, job.plan().stages_size());
    case wire::TRAINING:
      return fmt::format("{} trains", who);
    case wire::DONE:
      return fmt::format("{} is done after step {}", who, job.step());
    case wire::FAILED:
      return fmt::format("{} failed after step {}: {}", who, job.step(), job.failure().message());
    case wire::CANCELLED:
      return fmt::format("{} was cancelled after step {}", who, job.step());
    case wire::JOB_UNSPECIFIED:
    case wire::JobState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case wire::JobState_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return who;
}

}  // namespace

CoordinatorService::CoordinatorService(boost::asio::io_context& loop, Options options)
    : options_(std::move(options)), timer_(loop) {}

proto::Result<std::unique_ptr<CoordinatorService>> CoordinatorService::open(
    zmq::context_t& context, boost::asio::io_context& loop, Options options) {
  std::unique_ptr<CoordinatorService> service(new CoordinatorService(loop, std::move(options)));
  if (auto started = service->start(context, loop); !started) return started.error();
  return service;
}

proto::Result<void> CoordinatorService::start(zmq::context_t& context,
                                              boost::asio::io_context& loop) {
  // The port first: one that is taken leaves no file behind. No message is read before the loop
  // runs.
  auto server = proto::ControlServer::open(
      context, loop,
      {.bind = options_.listen,
       .keys = options_.keys,
       .allow = [this](const std::string& key) { return options_.coordinator.access.allows(key); },
       .on_message =
           [this](const proto::ControlPeer& from, wire::Envelope message) {
             coordinator_->on_message(from, std::move(message));
           }});
  if (!server) return server.error();
  server_ = std::move(*server);
  auto store = SqliteStore::open(options_.state / "coordinator.sqlite");
  if (!store) return store.error();
  store_ = std::move(*store);
  auto state = store_->load();
  if (!state) return state.error();
  Network& network = *this;
  Store& logged = *this;
  coordinator_ = std::make_unique<Coordinator>(options_.coordinator, clock_, network, logged,
                                               std::move(*state));
  tick();
  return {};
}

bool CoordinatorService::send(const proto::ControlPeer& to, const wire::Envelope& message) {
  return server_->send(to, message);
}

proto::Result<void> CoordinatorService::commit(const Transition& transition) {
  auto committed = store_->commit(transition);
  if (committed) log_transition(transition);
  return committed;
}

proto::Result<std::vector<wire::JobEvent>> CoordinatorService::events(const std::string& job_id,
                                                                      std::uint64_t from) {
  return store_->events(job_id, from);
}

void CoordinatorService::log_transition(const Transition& transition) {
  for (const auto& node : transition.nodes) {
    options_.log(node.state() == wire::GONE
                     ? fmt::format("{} is gone: {}", node.info().name(), node.reason())
                     : fmt::format("{} is here", node.info().name()));
  }
  for (const auto& [id, event] : transition.events) {
    if (event.has_state()) options_.log(state_line(event.state()));
  }
}

void CoordinatorService::tick() {
  coordinator_->on_tick(clock_.now());
  timer_.expires_after(kTick);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error) tick();
  });
}

}  // namespace longhaul::daemon
