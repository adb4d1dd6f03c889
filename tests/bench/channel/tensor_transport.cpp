// What is measured: TensorChannel, with header and checksum.
#include "tests/bench/channel/transport.hpp"

#include "compression/codec.hpp"
#include "proto/channel/tensor_channel.hpp"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <cstdio>
#include <cstdlib>
#include <future>
#include <thread>
#include <utility>

#include <zmq.hpp>

namespace longhaul::bench {
namespace {

constexpr proto::StageIndex kReceiver{0};
constexpr proto::StageIndex kSender{1};

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "bench_boundary_transport: %s\n", why.c_str());
  std::exit(1);
}

// A loop on a thread of its own, with a channel that lives there.
class End {
 public:
  End(proto::StageIndex self,
      std::function<void(const wire::TensorHeader&, const proto::Payload&)> on_message)
      : thread_([this] { loop_.run(); }) {
    run([&] {
      auto opened = proto::TensorChannel::open(
          context_, loop_,
          {.bind_host = "127.0.0.1",
           .advertise_host = "",
           .self = self,
           .epoch = proto::PlanEpoch{1},
           .keys = keys_,
           .on_message = std::move(on_message),
           .on_linked = [this](proto::StageIndex) { linked_.set_value(); },
           .on_error = [](proto::StageIndex, proto::Error error) { give_up(error.message); }});
      if (opened.has_error()) give_up(opened.error().message);
      channel_ = std::move(opened).value();
    });
  }
  // Both ends stop before either closes: a lost connection is an error here.
  void stop() {
    run([&] { loop_.stop(); });
    thread_.join();
  }

  // Runs `task` on the loop and waits for it.
  template <class Task>
  void run(Task task) {
    std::promise<void> done;
    boost::asio::post(loop_, [&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }
  void wait_until_linked() { linked_.get_future().wait(); }
  [[nodiscard]] proto::TensorChannel& channel() { return *channel_; }
  [[nodiscard]] const std::string& public_key() const { return keys_.public_key; }

 private:
  proto::CurveKeyPair keys_ = proto::make_curve_key_pair();
  zmq::context_t context_;
  boost::asio::io_context loop_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{
      loop_.get_executor()};
  std::promise<void> linked_;
  std::unique_ptr<proto::TensorChannel> channel_;
  std::thread thread_;
};

class TensorTransport final : public Transport {
 public:
  TensorTransport()
      : receiver_(kReceiver,
                  [this](const auto& header, const auto& payload) { on_message(header, payload); }),
        sender_(kSender, {}) {
    std::string endpoint;
    receiver_.run([&] {
      receiver_.channel().accept(kSender, sender_.public_key());
      endpoint = receiver_.channel().endpoint();
    });
    sender_.run([&] {
      const auto dialled = sender_.channel().dial(kReceiver, endpoint, receiver_.public_key());
      if (dialled.has_error()) give_up(dialled.error().message);
    });
    sender_.wait_until_linked();
    receiver_.wait_until_linked();
  }
  ~TensorTransport() override {
    sender_.stop();
    receiver_.stop();
  }

  std::chrono::duration<double> carry(const Buffers& buffers, std::size_t messages) override {
    std::promise<void> all;
    receiver_.run([&] {
      expected_ = messages;
      all_received_ = &all;
    });
    const auto begin = std::chrono::steady_clock::now();
    sender_.run([&] {
      for (std::size_t i = 0; i < messages; ++i) send(buffers[i % buffers.size()], i);
    });
    all.get_future().wait();
    return std::chrono::steady_clock::now() - begin;
  }

 private:
  void send(const std::shared_ptr<const std::vector<std::byte>>& buffer, std::size_t number) {
    wire::TensorHeader header;
    header.set_kind(wire::TensorHeader::ACTIVATION);
    header.set_name("h.3.add");
    header.set_element_type(wire::FLOAT32);
    header.add_shape(static_cast<std::int64_t>(buffer->size() / sizeof(float)));
    header.set_step(1);
    header.set_micro_batch(static_cast<std::uint32_t>(number));
    header.set_codec(static_cast<std::uint32_t>(compression::Codec::kDenseFp32));
    sender_.channel().send(kReceiver, std::move(header), {*buffer, buffer});
  }

  void on_message(const wire::TensorHeader&, const proto::Payload& payload) {
    if (payload.bytes.empty()) give_up("an empty payload");
    receiver_.channel().used(kSender, payload.bytes.size());
    if (--expected_ == 0) all_received_->set_value();
  }

  std::size_t expected_ = 0;
  std::promise<void>* all_received_ = nullptr;
  End receiver_;
  End sender_;
};

}  // namespace

std::unique_ptr<Transport> make_tensor_transport() { return std::make_unique<TensorTransport>(); }

}  // namespace longhaul::bench
