// The ZAP handler: a thread per context that asks the loops and answers libzmq.
#include "proto/channel/zap_authenticator.hpp"

#include "proto/assert.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <zmq_addon.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace longhaul::proto {

struct ZapDomain::Asked {
  boost::asio::io_context& loop;
  std::function<bool(const std::string&)> allow;  // empty once the domain is gone
};

namespace {

constexpr const char* kZapAddress = "inproc://zeromq.zap.01";
constexpr std::size_t kCurveKeyBytes = 32;

struct Request {
  zmq::message_t routing_id;
  zmq::message_t request_id;
  std::string public_key;
};

struct Answer {
  Request request;
  bool allowed = false;
};

class Authenticator {
 public:
  explicit Authenticator(zmq::context_t& context)
      : wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        socket_(context, zmq::socket_type::router) {
    LONGHAUL_ASSERT(wake_ >= 0);
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::sndhwm, 0);
    socket_.set(zmq::sockopt::rcvhwm, 0);
    socket_.bind(kZapAddress);
    // The program's signals are not this thread's: zmq_poll would return early for them.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { serve(); });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  ~Authenticator() {
    stopping_ = true;
    wake();
    thread_.join();
    ::close(wake_);
  }
  Authenticator(const Authenticator&) = delete;
  Authenticator& operator=(const Authenticator&) = delete;

  void add(const std::string& name, std::shared_ptr<ZapDomain::Asked> asked) {
    const std::lock_guard lock(mutex_);
    domains_.emplace(name, std::move(asked));
  }

  // Afterwards nothing is posted to the domain's loop, which may then go.
  void remove(const std::string& name) {
    const std::lock_guard lock(mutex_);
    domains_.erase(name);
  }

  // Any thread.
  void answer(Answer answer) {
    {
      const std::lock_guard lock(mutex_);
      answers_.push_back(std::move(answer));
    }
    wake();
  }

 private:
  void wake() const {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(wake_, &one, sizeof one);
  }

  void serve() {
    std::array<zmq::pollitem_t, 2> items{
        {{socket_.handle(), 0, ZMQ_POLLIN, 0}, {nullptr, wake_, ZMQ_POLLIN, 0}}};
    while (!stopping_) {
      zmq::poll(items.data(), items.size());
      if ((items[1].revents & ZMQ_POLLIN) != 0) send_answers();
      if ((items[0].revents & ZMQ_POLLIN) != 0) receive();
    }
    // Unbinding frees the address at once; closing leaves that to the reaper, some time later.
    socket_.unbind(kZapAddress);
    socket_.close();
  }

  // Frames: routing id, empty, "1.0", request id, domain, address, identity, mechanism,
  // credentials.
  void receive() {
    std::vector<zmq::message_t> frames;
    if (!zmq::recv_multipart(socket_, std::back_inserter(frames), zmq::recv_flags::dontwait))
      return;
    if (frames.size() < 8) return;
    Request request{std::move(frames[0]), std::move(frames[3]), {}};
    if (frames.size() == 9 && frames[7].to_string_view() == "CURVE" &&
        frames[8].size() == kCurveKeyBytes) {
      std::array<char, 41> text{};
      zmq_z85_encode(text.data(), frames[8].data<std::uint8_t>(), kCurveKeyBytes);
      request.public_key = text.data();
      if (ask(frames[4].to_string(), request)) return;
    }
    reply({std::move(request), false});
  }

  // True if the domain's loop will answer.
  bool ask(const std::string& name, Request& request) {
    const std::lock_guard lock(mutex_);
    const auto domain = domains_.find(name);
    if (domain == domains_.end()) return false;
    // Moves into a shared_ptr since Asio's older handlers may copy.
    auto shared = std::make_shared<Request>(std::move(request));
    boost::asio::post(domain->second->loop, [this, asked = domain->second, shared] {
      if (!asked->allow) return;  // the domain is gone, and with it perhaps this authenticator
      const bool allowed = asked->allow(shared->public_key);
      answer({std::move(*shared), allowed});
    });
    return true;
  }

  void send_answers() {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_, &count, sizeof count);
    std::vector<Answer> answers;
    {
      const std::lock_guard lock(mutex_);
      answers.swap(answers_);
    }
    for (Answer& each : answers) reply(std::move(each));
  }

  void reply(Answer answer) {
    const auto text = [](std::string_view t) { return zmq::message_t(t.data(), t.size()); };
    std::vector<zmq::message_t> frames;
    frames.push_back(std::move(answer.request.routing_id));
    frames.push_back(text(""));
    frames.push_back(text("1.0"));
    frames.push_back(std::move(answer.request.request_id));
    frames.push_back(text(answer.allowed ? "200" : "400"));
    frames.push_back(text(answer.allowed ? "OK" : "unknown key"));
    frames.push_back(text(answer.allowed ? answer.request.public_key : ""));
    frames.push_back(text(""));
    zmq::send_multipart(socket_, frames, zmq::send_flags::dontwait);
  }

  const int wake_;
  zmq::socket_t socket_;  // the thread's, once it runs
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<ZapDomain::Asked>> domains_;  // guarded by mutex_
  std::vector<Answer> answers_;                                       // guarded by mutex_
  std::thread thread_;
};

// ZeroMQ knows one handler per context, found by its address; whoever needs it first starts it, the
// last one stops it. Held while starting and stopping, so that the address is never bound twice.
struct Registry {
  struct Entry {
    std::unique_ptr<Authenticator> authenticator;
    std::size_t domains = 0;
  };
  std::mutex mutex;
  std::map<void*, Entry> entries;  // by the context's handle
  std::uint64_t next_domain = 0;
};

Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

ZapDomain::ZapDomain(zmq::context_t& context, boost::asio::io_context& loop,
                     std::function<bool(const std::string&)> allow)
    : context_(context.handle()), asked_(new Asked{loop, std::move(allow)}) {
  if (!asked_->allow) asked_->allow = [](const std::string&) { return false; };
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  name_ = fmt::format("longhaul-{}", all.next_domain++);
  Registry::Entry& entry = all.entries[context_];
  if (!entry.authenticator) entry.authenticator = std::make_unique<Authenticator>(context);
  entry.authenticator->add(name_, asked_);
  ++entry.domains;
}

ZapDomain::~ZapDomain() {
  asked_->allow = nullptr;
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto entry = all.entries.find(context_);
  entry->second.authenticator->remove(name_);
  if (--entry->second.domains == 0) all.entries.erase(entry);
}

std::string verified_key(const zmq::message_t& message) {
  const char* key = zmq_msg_gets(message.handle(), "User-Id");
  return key == nullptr ? std::string() : std::string(key);
}

}  // namespace longhaul::proto
