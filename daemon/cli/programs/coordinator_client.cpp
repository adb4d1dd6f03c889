// Numbers requests, times them, and starts a watch over where it was.
#include "daemon/cli/programs/coordinator_client.hpp"

#include "proto/failure.hpp"
#include "proto/channel/context.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace longhaul::daemon {

namespace {

constexpr std::chrono::seconds kRenewal{5};

}  // namespace

CoordinatorClient::CoordinatorClient(boost::asio::io_context& loop, Options options)
    : loop_(loop), options_(std::move(options)), renewal_(loop) {}

proto::Result<std::unique_ptr<CoordinatorClient>> CoordinatorClient::open(
    zmq::context_t& context, boost::asio::io_context& loop, Options options) {
  std::unique_ptr<CoordinatorClient> client(new CoordinatorClient(loop, std::move(options)));
  auto* self = client.get();
  auto opened = proto::ControlClient::open(
      context, loop,
      {.endpoint = self->options_.coordinator.address,
       .server_key = self->options_.coordinator.public_key,
       .keys = self->options_.keys,
       .on_message = [self](wire::Envelope message) { self->on_message(std::move(message)); },
       .on_connection =
           [self](bool connected, const std::string& reason) {
             self->on_connection(connected, reason);
           }});
  if (!opened) return opened.error();
  client->client_ = std::move(*opened);
  return client;
}

void CoordinatorClient::ask(wire::Envelope message, std::chrono::milliseconds deadline,
                            Answer answer) {
  const std::uint64_t number = ++last_request_;
  message.set_request(number);
  auto timer = std::make_unique<boost::asio::steady_timer>(loop_, deadline);
  timer->async_wait([this, number, deadline](const boost::system::error_code& error) {
    if (error) return;
    this->answer(number,
                 proto::Error{proto::ErrorKind::kLost,
                              fmt::format("no answer from the coordinator at {} within {} s{}",
                                          options_.coordinator.address, deadline.count() / 1000,
                                          no_connection_.empty() ? "" : ": " + no_connection_)});
  });
  requests_.emplace(number, Request{std::move(answer), std::move(timer)});
  client_->send(message);
}

void CoordinatorClient::answer(std::uint64_t request, proto::Result<wire::Envelope> with) {
  const auto found = requests_.find(request);
  if (found == requests_.end()) return;
  const Answer answer = std::move(found->second.answer);
  requests_.erase(found);
  answer(std::move(with));
}

void CoordinatorClient::watch(const std::string& job_id, Event on_event) {
  watched_job_ = job_id;
  on_event_ = std::move(on_event);
  next_event_ = 0;
  watch_request_ = ++last_request_;
  send_watch();
  renew_watch();
}

// Nothing may come because nothing happens, or because the watch was dropped while this program did
// not read: asking again costs a message, and brings what was missed.
void CoordinatorClient::renew_watch() {
  next_event_at_renewal_ = next_event_;
  renewal_.expires_after(kRenewal);
  renewal_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    if (next_event_ == next_event_at_renewal_) send_watch();
    renew_watch();
  });
}

void CoordinatorClient::send_watch() {
  wire::Envelope message;
  message.set_request(watch_request_);
  message.mutable_watch_job()->set_job_id(watched_job_);
  message.mutable_watch_job()->set_from_event(next_event_);
  client_->send(message);
}

void CoordinatorClient::on_message(wire::Envelope message) {
  if (watch_request_ != 0 && message.request() == watch_request_) {
    on_watched(message);
  } else if (message.has_failure()) {
    answer(message.request(), proto::to_error(message.failure()));
  } else {
    const auto number = message.request();
    answer(number, std::move(message));
  }
}

void CoordinatorClient::on_watched(const wire::Envelope& message) {
  if (message.has_failure()) {
    on_event_(proto::to_error(message.failure()));
  } else if (message.has_job_event() && message.job_event().index() >= next_event_) {
    next_event_ = message.job_event().index() + 1;
    on_event_(message.job_event());
  }
}

void CoordinatorClient::on_connection(bool connected, const std::string& reason) {
  if (connected) {
    no_connection_.clear();
    if (!watched_job_.empty()) send_watch();
    return;
  }
  no_connection_ = reason;
  if (!options_.fail_without_connection) return;
  while (!requests_.empty()) {
    answer(requests_.begin()->first,
           proto::Error{proto::ErrorKind::kLost,
                        fmt::format("no connection to the coordinator at {}: {}",
                                    options_.coordinator.address, reason)});
  }
}

proto::Result<ClientConfiguration> load_client(const std::filesystem::path& config) {
  const auto file = config.empty() ? default_client_file() : config;
  if (config.empty() && !std::filesystem::exists(file)) {
    return proto::configuration_error(
        fmt::format("{} does not exist: write there which coordinator to ask (`longhaul config "
                    "reference`), or give --config FILE; `longhaul run` needs none",
                    file.string()));
  }
  auto loaded = load_client_configuration(file);
  if (!loaded) return proto::configuration_error(to_string(loaded.error().items.front()));
  return std::move(*loaded);
}

proto::Result<std::unique_ptr<CoordinatorClient>> open_client(zmq::context_t& context,
                                                              boost::asio::io_context& loop,
                                                              const std::filesystem::path& config,
                                                              bool fail_without_connection) {
  const auto configuration = load_client(config);
  if (!configuration) return configuration.error();
  const auto keys = proto::load_key_pair(configuration->key);
  if (!keys) return keys.error();
  return CoordinatorClient::open(context, loop,
                                 {.coordinator = configuration->coordinator,
                                  .keys = *keys,
                                  .fail_without_connection = fail_without_connection});
}

proto::Result<wire::Envelope> ask_coordinator(const std::filesystem::path& config,
                                              wire::Envelope message, Patience patience) {
  proto::Context context;
  boost::asio::io_context loop;
  auto client = open_client(context.zmq(), loop, config, !patience.for_connection);
  if (!client) return client.error();
  std::optional<proto::Result<wire::Envelope>> answer;
  (*client)->ask(std::move(message), patience.deadline, [&](proto::Result<wire::Envelope> how) {
    answer = std::move(how);
    loop.stop();
  });
  loop.run();
  return std::move(*answer);
}

}  // namespace longhaul::daemon
