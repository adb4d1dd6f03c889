// A stage's links to the others, as the executor sees them: tensors out, tensors in.
#pragma once

#include "compnode/execution/shard.hpp"
#include "compnode/links/link_control.hpp"
#include "compnode/worker/boundary_codec.hpp"
#include "compnode/worker/mailbox.hpp"
#include "proto/control.pb.h"
#include "proto/plan.hpp"

#include <boost/asio/thread_pool.hpp>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace longhaul::compnode {

// Everything here runs on the executor's thread but for deliver() and reports(). Boundary tensors
// that are compressed are encoded on a thread of their own, while the executor goes on. Receiving
// waits; what arrives damaged, in another shape, with NaN or infinity, or not at all throws
// proto::Failed, which names link, step and tensor. So does sending NaN or infinity, as kNumeric.
class StageLinks {
 public:
  // Hands a message to the network; called on the executor's and the encoder's thread.
  using Send = std::function<void(proto::StageIndex to, wire::TensorHeader, proto::Payload)>;

  struct Options {
    proto::StageIndex self;
    at::Device device{at::kCPU};
    at::ScalarType precision = at::kFloat;
    std::vector<proto::Shape> shapes;  // of every value, for a whole micro-batch
    LinkControl::Options compression{};
    std::uint64_t seed = 0;  // the job's
    Send send{};
    Mailbox::Used used{};
  };

  StageLinks(const proto::Graph& graph, const proto::Plan& plan, Options options);
  ~StageLinks();  // after what is being encoded has been sent
  StageLinks(const StageLinks&) = delete;
  StageLinks& operator=(const StageLinks&) = delete;

  [[nodiscard]] bool compresses() const { return control_.compresses(); }
  // What links are measured to be, which rungs they have. Told by the loop thread and by the
  // executor.
  [[nodiscard]] LinkControl& control() { return control_; }

  // From the loop thread: a message of this epoch. An error: the peer broke the protocol; it names
  // link, step and tensor.
  [[nodiscard]] proto::Result<void> deliver(wire::TensorHeader header, proto::Payload payload);
  // No more will come: whoever waits fails with this.
  void close(proto::Error error) { mailbox_.close(std::move(error)); }
  // For an executor that waits for nobody: fails with what close() was given.
  void check_open() { mailbox_.check_open(); }
  // No more will come from this stage.
  void lose(proto::StageIndex from, proto::Error error) { mailbox_.lose(from, std::move(error)); }

  // `sequences`: of this micro-batch, where it is not a whole one.
  void send_outputs(const Moment& moment, const std::vector<ValueTensor>& outputs);
  [[nodiscard]] std::vector<ValueTensor> receive_inputs(const Moment& moment,
                                                        std::int64_t sequences);
  void send_input_gradients(const Moment& moment, const std::vector<ValueTensor>& gradients);
  // Contributions to the stage's outputs, latest stage first.
  [[nodiscard]] std::vector<ValueTensor> receive_output_gradients(const Moment& moment);

  // Data inputs that other stages need from this one.
  [[nodiscard]] const std::vector<proto::Boundary>& data_to_send() const { return data_out_; }
  void send_data(const Moment& moment, const proto::Boundary& boundary, const at::Tensor& integers);

  void send_tied_gradient(std::uint64_t step, proto::StageIndex to, const std::string& name,
                          const at::Tensor& gradient);
  [[nodiscard]] at::Tensor receive_tied_gradient(std::uint64_t step, proto::StageIndex from,
                                                 const std::string& name,
                                                 const proto::Shape& shape);
  void send_parameter(const Moment& moment, const std::string& name, const at::Tensor& parameter);
  [[nodiscard]] at::Tensor receive_parameter(const Moment& moment, proto::StageIndex from,
                                             const std::string& name, const proto::Shape& shape);

  // Numbers for every other stage, and from one of them; `count` at least `minimum`.
  void broadcast(const Moment& moment, const std::vector<double>& numbers);
  [[nodiscard]] std::vector<double> receive_numbers(const Moment& moment, proto::StageIndex from,
                                                    std::size_t minimum);
  // Flow control: this stage is done with what the moment names, and has room for more.
  void send_done(const Moment& moment, proto::StageIndex to);
  void receive_done(const Moment& moment, proto::StageIndex from);

  [[nodiscard]] std::vector<wire::LinkReport> reports() const;
  // Adds the executor's waits and decoding since the last call; starts anew.
  void take_times(wire::StepTimes& times);

 private:
  struct Traffic {
    std::uint64_t bytes = 0;
    std::uint64_t dense_bytes = 0;
    std::string rung;
    compression::Distortion distortion;
    double encode_s = 0.0;
  };
  struct Outgoing {
    proto::StageIndex to;
    wire::TensorHeader header;
    std::uint64_t dense_bytes = 0;
  };
  struct Expected {
    at::ScalarType type = at::kFloat;
    proto::Shape shape;
  };

  [[nodiscard]] at::Device codec_place(const at::Device& device) const;
  void send_boundary(const BoundaryTensor& what, const at::Tensor& tensor);
  void encode_and_send(const BoundaryTensor& what, Outgoing message, const at::Tensor& tensor);
  [[nodiscard]] at::Tensor receive_boundary(const BoundaryTensor& what, proto::Shape shape);
  void send_payload(Outgoing message, proto::Payload payload, Traffic traffic);
  [[nodiscard]] Outgoing header_for(proto::StageIndex to, wire::TensorHeader::Kind kind,
                                    const Moment& moment, const std::string& name,
                                    const at::Tensor& tensor) const;
  // Waits, and counts the wait.
  [[nodiscard]] Message take(const MessageKey& key);
  [[nodiscard]] Message take_checked(const MessageKey& key, const Expected& expected);
  void try_rung(const BoundaryTensor& what, const at::Tensor& tensor,
                const BoundaryCodec::Received& answered);
  [[nodiscard]] at::Tensor dense_tensor(const MessageKey& key, Message message,
                                        const Expected& expected);
  void send_tensor(proto::StageIndex to, wire::TensorHeader::Kind kind, const Moment& moment,
                   const std::string& name, const at::Tensor& tensor);
  [[nodiscard]] at::Tensor receive_tensor(const MessageKey& key, const Expected& expected);
  [[nodiscard]] bool expects(const wire::TensorHeader& header) const;
  [[nodiscard]] proto::Failed broken(const MessageKey& key, const std::string& why) const;
  void refuse_not_finite(const BoundaryTensor& what, const at::Tensor& tensor) const;
  [[nodiscard]] proto::Shape shape_of(proto::ValueIndex value, std::int64_t sequences) const;

  const proto::Graph& graph_;
  const proto::Plan& plan_;
  Options options_;
  Mailbox mailbox_;
  LinkControl control_;
  BoundaryCodec codec_;
  std::vector<proto::Boundary> in_;        // activations that come
  std::vector<proto::Boundary> out_;       // activations that leave
  std::vector<proto::Boundary> data_in_;   // data inputs that come
  std::vector<proto::Boundary> data_out_;  // data inputs that leave
  mutable std::mutex traffic_mutex_;
  std::map<std::pair<std::uint32_t, std::string>, Traffic> traffic_;  // by stage and direction
  // The executor's own: by stage and direction.
  std::map<std::pair<std::uint32_t, std::string>, double> waits_s_;
  double decode_s_ = 0.0;
  boost::asio::thread_pool encoder_{1};  // last: its tasks use the rest
};

}  // namespace longhaul::compnode
