// Two channels on one loop; the process's own time is what they cost.
#include "proto/channel/transport_cost.hpp"

#include "proto/channel/curve_key.hpp"
#include "proto/channel/tensor_channel.hpp"

#include <boost/asio/io_context.hpp>
#include <zmq.hpp>

#include <sys/resource.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace longhaul::proto {
namespace {

constexpr StageIndex kReceiver{0};
constexpr StageIndex kSender{1};
constexpr std::size_t kAtOnce = 4;  // messages on their way
constexpr std::size_t kWarmUpBytes = std::size_t{16} << 20;
constexpr std::size_t kMeasuredBytes = std::size_t{128} << 20;

double processor_s() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Pair {
 public:
  explicit Pair(std::size_t bytes)
      : payload_(std::make_shared<std::vector<std::byte>>(bytes, std::byte{1})) {
    receiver_ = open(kReceiver, receiver_keys_);
    sender_ = open(kSender, sender_keys_);
    receiver_->accept(kSender, sender_keys_.public_key);
    sender_->dial(kReceiver, receiver_->endpoint(), receiver_keys_.public_key).value();
  }

  double measure() {
    loop_.run();
    if (failure_) throw Failed(*failure_);
    // Each byte has two ends.
    return (processor_s() - start_s_) / (2.0 * static_cast<double>(measured_bytes_));
  }

 private:
  std::unique_ptr<TensorChannel> open(StageIndex self, const CurveKeyPair& keys) {
    TensorChannel::Options options;
    options.bind_host = "127.0.0.1";
    options.self = self;
    options.epoch = PlanEpoch{1};
    options.keys = keys;
    options.on_message = [this](const wire::TensorHeader&, const Payload& payload) {
      on_message(payload.bytes.size());
    };
    options.on_linked = [this](StageIndex) {
      if (++linked_ == 2) {
        for (std::size_t i = 0; i < kAtOnce; ++i) send();
      }
    };
    options.on_error = [this](StageIndex, Error error) {
      failure_ = std::move(error);
      loop_.stop();
    };
    return TensorChannel::open(context_, loop_, std::move(options)).value();
  }

  void send() {
    wire::TensorHeader header;
    header.set_kind(wire::TensorHeader::ACTIVATION);
    header.set_element_type(wire::FLOAT32);
    header.add_shape(static_cast<std::int64_t>(payload_->size() / sizeof(float)));
    sender_->send(kReceiver, std::move(header), {*payload_, payload_});
  }

  void on_message(std::size_t bytes) {
    receiver_->used(kSender, bytes);
    received_bytes_ += bytes;
    if (start_s_ == 0.0) {
      if (received_bytes_ >= kWarmUpBytes) start_s_ = processor_s();
    } else {
      measured_bytes_ += bytes;
    }
    measured_bytes_ < kMeasuredBytes ? send() : loop_.stop();
  }

  std::shared_ptr<std::vector<std::byte>> payload_;
  zmq::context_t context_;
  boost::asio::io_context loop_;
  CurveKeyPair receiver_keys_ = make_curve_key_pair();
  CurveKeyPair sender_keys_ = make_curve_key_pair();
  std::unique_ptr<TensorChannel> receiver_;
  std::unique_ptr<TensorChannel> sender_;
  int linked_ = 0;
  std::size_t received_bytes_ = 0;
  std::size_t measured_bytes_ = 0;
  double start_s_ = 0.0;
  std::optional<Error> failure_;
};

}  // namespace

double carry_s_per_byte(std::size_t bytes) { return Pair(bytes).measure(); }

}  // namespace longhaul::proto
