// Tensors to messages and back: encoding, checking, counting.
#include "compnode/worker/stage_links.hpp"

#include "compnode/worker/failure.hpp"
#include "compression/codec.hpp"
#include "proto/assert.hpp"
#include "proto/text.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>

namespace longhaul::compnode {
namespace {

using proto::Boundary;
using proto::StageIndex;
using Kind = wire::TensorHeader;

std::span<const std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

wire::ElementType element_type(at::ScalarType type) {
  if (type == at::kFloat) return wire::FLOAT32;
  if (type == at::kBFloat16) return wire::BFLOAT16;
  LONGHAUL_ASSERT(type == at::kLong);
  return wire::INT64;
}

compression::Codec codec_for(at::ScalarType type) {
  if (type == at::kFloat) return compression::Codec::kDenseFp32;
  if (type == at::kBFloat16) return compression::Codec::kDenseBf16;
  return compression::Codec::kIntegers;
}

BoundaryLink link_of(const BoundaryTensor& what) { return {what.from, what.to, what.backward}; }

BoundaryTensor boundary_tensor(const Boundary& boundary, bool backward, const Moment& moment) {
  return {.from = boundary.from,
          .to = boundary.to,
          .value = boundary.value,
          .backward = backward,
          .moment = moment};
}

std::vector<BoundaryLink> links_of(const proto::Graph& graph, const proto::Plan& plan) {
  std::vector<BoundaryLink> links;
  for (const Boundary& boundary : proto::boundaries(graph, plan)) {
    if (boundary.data) continue;
    for (const bool backward : {false, true}) {
      links.push_back({boundary.from, boundary.to, backward});
    }
  }
  return links;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string direction_of(wire::TensorHeader::Kind kind) {
  if (kind == Kind::ACTIVATION || kind == Kind::DATA) return "forward";
  if (kind == Kind::GRADIENT) return "backward";
  return kind == Kind::TIED_GRADIENT ? "tied" : "other";
}

// What errors begin with.
std::string place_of(const MessageKey& key, StageIndex to) {
  const Moment& moment = key.moment;
  const bool evaluated = moment.phase == Kind::EVALUATION || moment.phase == Kind::EVALUATION_DENSE;
  return fmt::format("link from stage {} to stage {}, {} {}, micro-batch {}, tensor {}",
                     key.from.value, to.value, evaluated ? "evaluation after step" : "step",
                     evaluated ? moment.step : moment.step + 1, moment.micro_batch.value,
                     proto::quoted(key.name));
}

}  // namespace

StageLinks::StageLinks(const proto::Graph& graph, const proto::Plan& plan, Options options)
    : graph_(graph),
      plan_(plan),
      options_(std::move(options)),
      mailbox_(options_.used),
      control_(links_of(graph, plan), plan, options_.compression),
      codec_(options_.seed) {
  for (const Boundary& boundary : proto::boundaries(graph, plan)) {
    if (boundary.to == options_.self) (boundary.data ? data_in_ : in_).push_back(boundary);
    if (boundary.from == options_.self) (boundary.data ? data_out_ : out_).push_back(boundary);
  }
}

StageLinks::~StageLinks() { encoder_.join(); }

bool StageLinks::expects(const wire::TensorHeader& header) const {
  const StageIndex from{header.from_stage()};
  const auto matches = [&](const std::vector<Boundary>& boundaries, bool incoming) {
    return std::any_of(boundaries.begin(), boundaries.end(), [&](const Boundary& boundary) {
      return (incoming ? boundary.from : boundary.to) == from &&
             graph_.value_name(boundary.value) == header.name();
    });
  };
  switch (header.kind()) {
    case Kind::ACTIVATION:
      return matches(in_, true);
    case Kind::GRADIENT:
      return matches(out_, false);
    case Kind::DATA:
      return matches(data_in_, true);
    case Kind::TIED_GRADIENT:
    case Kind::PARAMETER:
      return true;  // named by the parameter; asked for by name only
    case Kind::STEP_NORMS:
    case Kind::EVALUATED:
      return header.name().empty();
    default:
      return false;
  }
}

proto::Result<void> StageLinks::deliver(wire::TensorHeader header, proto::Payload payload) {
  MessageKey key = key_of(header);
  if (!expects(header)) {
    return broken(key, fmt::format("this stage expects no such message of kind {}",
                                   static_cast<int>(header.kind())))
        .error();
  }
  if (!mailbox_.put(key, {std::move(header), std::move(payload)})) {
    return broken(key, "it came before").error();
  }
  return {};
}

proto::Failed StageLinks::broken(const MessageKey& key, const std::string& why) const {
  return proto::Failed({proto::ErrorKind::kInternal, place_of(key, options_.self) + ": " + why});
}

void StageLinks::refuse_not_finite(const BoundaryTensor& what, const at::Tensor& tensor) const {
  const auto finite = BoundaryCodec::check_finite(tensor);
  if (finite) return;
  const MessageKey key{options_.self, what.backward ? Kind::GRADIENT : Kind::ACTIVATION,
                       what.moment, graph_.value_name(what.value)};
  throw proto::Failed(
      {proto::ErrorKind::kNumeric,
       place_of(key, what.backward ? what.from : what.to) + ": " + finite.error().message});
}

proto::Shape StageLinks::shape_of(proto::ValueIndex value, std::int64_t sequences) const {
  proto::Shape shape = options_.shapes[value.value];
  shape.front() = sequences;  // the first extent is the micro-batch's, for every boundary
  return shape;
}

StageLinks::Outgoing StageLinks::header_for(StageIndex to, wire::TensorHeader::Kind kind,
                                            const Moment& moment, const std::string& name,
                                            const at::Tensor& tensor) const {
  Outgoing message;
  message.to = to;
  message.header.set_kind(kind);
  message.header.set_phase(moment.phase);
  message.header.set_step(moment.step);
  message.header.set_micro_batch(moment.micro_batch.value);
  message.header.set_name(name);
  message.header.set_element_type(element_type(tensor.scalar_type()));
  for (const std::int64_t extent : tensor.sizes()) message.header.add_shape(extent);
  message.dense_bytes = static_cast<std::uint64_t>(tensor.numel()) * 4;
  return message;
}

void StageLinks::send_payload(Outgoing message, proto::Payload payload, Traffic traffic) {
  {
    const std::lock_guard lock(traffic_mutex_);
    Traffic& total = traffic_[{message.to.value, direction_of(message.header.kind())}];
    total.bytes += message.header.ByteSizeLong() + payload.bytes.size();
    total.dense_bytes += message.dense_bytes;
    if (!traffic.rung.empty()) total.rung = std::move(traffic.rung);
    total.distortion.squared_error += traffic.distortion.squared_error;
    total.distortion.squares += traffic.distortion.squares;
    total.encode_s += traffic.encode_s;
  }
  options_.send(message.to, std::move(message.header), std::move(payload));
}

void StageLinks::send_tensor(StageIndex to, wire::TensorHeader::Kind kind, const Moment& moment,
                             const std::string& name, const at::Tensor& tensor) {
  auto owner = std::make_shared<at::Tensor>(tensor.to(at::kCPU).contiguous());
  Outgoing message = header_for(to, kind, moment, name, tensor);
  const compression::Codec codec = codec_for(tensor.scalar_type());
  message.header.set_codec(static_cast<std::uint32_t>(codec));
  proto::Payload payload{bytes_of(*owner), owner};
  if (codec == compression::Codec::kIntegers) {
    const auto* values = owner->data_ptr<std::int64_t>();
    auto encoded = std::make_shared<std::vector<std::byte>>(
        compression::encode_integers({values, static_cast<std::size_t>(owner->numel())}).value());
    payload = {*encoded, encoded};
  }
  send_payload(std::move(message), std::move(payload), {});
}

// Where the codec wants tensors of this device.
at::Device StageLinks::codec_place(const at::Device& device) const {
  return compresses() && DeviceBoundary::serves(device) ? device : at::Device(at::kCPU);
}

void StageLinks::send_boundary(const BoundaryTensor& what, const at::Tensor& tensor) {
  Outgoing message = header_for(what.backward ? what.from : what.to,
                                what.backward ? Kind::GRADIENT : Kind::ACTIVATION, what.moment,
                                graph_.value_name(what.value), tensor);
  const at::Tensor values = tensor.to(codec_place(tensor.device())).contiguous();
  // Where it costs no wait for a device: then whoever computed it can still say how it came about.
  if (values.device().is_cpu()) refuse_not_finite(what, values);
  if (!compresses()) return encode_and_send(what, std::move(message), values);
  synchronize(values.device());
  boost::asio::post(encoder_, [this, what, message = std::move(message), values]() mutable {
    try {
      compute_beside_others(values.device());
      encode_and_send(what, std::move(message), values);
    } catch (...) {
      mailbox_.close(error_of(std::current_exception()));  // the executor waits there, or will
    }
  });
}

void StageLinks::encode_and_send(const BoundaryTensor& what, Outgoing message,
                                 const at::Tensor& tensor) {
  if (!tensor.device().is_cpu()) refuse_not_finite(what, tensor);
  const bool training = what.moment.phase == Kind::TRAINING;
  const auto start = std::chrono::steady_clock::now();
  const BoundaryCodec::Received answered =
      what.backward ? codec_.take_received(what) : BoundaryCodec::Received();
  const compression::Rung rung = what.moment.phase == Kind::EVALUATION_DENSE
                                     ? compression::Rung()
                                     : control_.rung_for(link_of(what), answered.rung);
  BoundaryCodec::Encoded encoded = codec_.encode(what, tensor, rung, answered.mask);
  message.header.set_codec(static_cast<std::uint32_t>(encoded.codec));
  message.header.set_rung(compression::pack(rung));
  Traffic traffic;
  traffic.encode_s = seconds_since(start);
  if (what.moment.phase != Kind::EVALUATION_DENSE) {
    const bool dense = encoded.codec == codec_for(tensor.scalar_type());
    traffic.rung =
        dense && tensor.scalar_type() == at::kBFloat16 ? "bf16" : compression::name(rung);
  }
  traffic.distortion = encoded.distortion;
  if (training) {
    compression::RungSample sample;
    sample.rung = rung;
    sample.entries = static_cast<double>(tensor.numel());
    if (encoded.masked) sample.mask_density = answered.rung.density;
    sample.bytes = static_cast<double>(encoded.payload.bytes.size());
    sample.encode_s = traffic.encode_s;
    sample.distortion = encoded.distortion;
    control_.on_encoded(link_of(what), sample);
  }
  send_payload(std::move(message), std::move(encoded.payload), std::move(traffic));
  // After the tensor is on its way.
  if (training && compresses()) try_rung(what, tensor, answered);
}

void StageLinks::try_rung(const BoundaryTensor& what, const at::Tensor& tensor,
                          const BoundaryCodec::Received& answered) {
  while (const auto rung = control_.take_trial(link_of(what))) {
    const auto sample = codec_.try_rung(what, tensor, *rung, answered);
    if (sample) control_.on_trial(link_of(what), *sample);
  }
}

Message StageLinks::take(const MessageKey& key) {
  const auto start = std::chrono::steady_clock::now();
  Message message = mailbox_.take(key);
  waits_s_[{key.from.value, direction_of(key.kind)}] += seconds_since(start);
  return message;
}

Message StageLinks::take_checked(const MessageKey& key, const Expected& expected) {
  Message message = take(key);
  const wire::TensorHeader& header = message.header;
  if (header.element_type() != element_type(expected.type) ||
      !std::equal(header.shape().begin(), header.shape().end(), expected.shape.begin(),
                  expected.shape.end())) {
    throw broken(key, "another type or shape than the plan's");
  }
  return message;
}

// The tensor is the message's own memory, for as long as anybody holds it.
at::Tensor StageLinks::dense_tensor(const MessageKey& key, Message message,
                                    const Expected& expected) {
  const auto elements = static_cast<std::size_t>(proto::element_count(expected.shape));
  const auto dense =
      compression::check_dense(codec_for(expected.type), {elements, message.payload.bytes.size()});
  if (!dense) throw broken(key, dense.error().message);
  auto* data = const_cast<std::byte*>(message.payload.bytes.data());
  return at::from_blob(
             data, expected.shape, [owner = std::move(message.payload.owner)](void*) {},
             at::TensorOptions().dtype(expected.type))
      .to(options_.device);
}

at::Tensor StageLinks::receive_tensor(const MessageKey& key, const Expected& expected) {
  Message message = take_checked(key, expected);
  if (message.header.codec() != static_cast<std::uint32_t>(codec_for(expected.type))) {
    throw broken(key, "a codec that this kind of message does not have");
  }
  if (expected.type != at::kLong) return dense_tensor(key, std::move(message), expected);
  at::Tensor integers = at::empty(expected.shape, at::kLong);
  const auto decoded = compression::decode_integers(
      message.payload.bytes,
      {integers.data_ptr<std::int64_t>(), static_cast<std::size_t>(integers.numel())});
  if (!decoded) throw broken(key, decoded.error().message);
  return integers.to(options_.device);
}

at::Tensor StageLinks::receive_boundary(const BoundaryTensor& what, proto::Shape shape) {
  const MessageKey key{what.backward ? what.to : what.from,
                       what.backward ? Kind::GRADIENT : Kind::ACTIVATION, what.moment,
                       graph_.value_name(what.value)};
  const Expected expected{options_.precision, std::move(shape)};
  Message message = take_checked(key, expected);
  const auto codec = compression::codec_from_number(message.header.codec());
  if (!codec) throw broken(key, codec.error().message);
  const auto rung = compression::unpack(message.header.rung());
  if (!rung) throw broken(key, rung.error().message);
  if (*codec == codec_for(expected.type)) {
    codec_.note_dense(what, *rung);
    at::Tensor values = dense_tensor(key, std::move(message), expected);
    if (const auto finite = BoundaryCodec::check_finite(values); !finite) {
      throw broken(key, finite.error().message);
    }
    return values;
  }
  const auto start = std::chrono::steady_clock::now();
  const auto place = at::TensorOptions(codec_place(options_.device)).dtype(expected.type);
  at::Tensor values = at::empty(expected.shape, place);
  const auto decoded = codec_.decode(what, *codec, *rung, message.payload.bytes, values);
  if (!decoded) throw broken(key, decoded.error().message);
  // A float32 that is sent as such may be too large for bfloat16.
  if (expected.type == at::kBFloat16) {
    if (const auto finite = BoundaryCodec::check_finite(values); !finite) {
      throw broken(key, finite.error().message);
    }
  }
  const double took_s = seconds_since(start);
  decode_s_ += took_s;
  if (what.moment.phase == Kind::TRAINING) control_.on_decoded(link_of(what), took_s);
  return values.to(options_.device);
}

void StageLinks::send_outputs(const Moment& moment, const std::vector<ValueTensor>& outputs) {
  for (const ValueTensor& output : outputs) {
    for (const Boundary& boundary : out_) {
      if (boundary.value != output.value) continue;
      send_boundary(boundary_tensor(boundary, false, moment), output.tensor);
    }
  }
}

std::vector<ValueTensor> StageLinks::receive_inputs(const Moment& moment, std::int64_t sequences) {
  std::vector<ValueTensor> inputs;
  for (const Boundary& boundary : in_) {
    inputs.push_back({boundary.value, receive_boundary(boundary_tensor(boundary, false, moment),
                                                       shape_of(boundary.value, sequences))});
  }
  for (const Boundary& boundary : data_in_) {
    inputs.push_back(
        {boundary.value,
         receive_tensor({boundary.from, Kind::DATA, moment, graph_.value_name(boundary.value)},
                        {at::kLong, shape_of(boundary.value, sequences)})});
  }
  return inputs;
}

void StageLinks::send_input_gradients(const Moment& moment,
                                      const std::vector<ValueTensor>& gradients) {
  for (const ValueTensor& gradient : gradients) {
    for (const Boundary& boundary : in_) {
      if (boundary.value != gradient.value) continue;
      send_boundary(boundary_tensor(boundary, true, moment), gradient.tensor);
    }
  }
}

std::vector<ValueTensor> StageLinks::receive_output_gradients(const Moment& moment) {
  std::vector<Boundary> latest_first = out_;
  std::stable_sort(latest_first.begin(), latest_first.end(),
                   [](const Boundary& a, const Boundary& b) { return a.to > b.to; });
  std::vector<ValueTensor> gradients;
  for (const Boundary& boundary : latest_first) {
    gradients.push_back({boundary.value, receive_boundary(boundary_tensor(boundary, true, moment),
                                                          options_.shapes[boundary.value.value])});
  }
  return gradients;
}

void StageLinks::send_data(const Moment& moment, const Boundary& boundary,
                           const at::Tensor& integers) {
  send_tensor(boundary.to, Kind::DATA, moment, graph_.value_name(boundary.value), integers);
}

void StageLinks::send_tied_gradient(std::uint64_t step, StageIndex to, const std::string& name,
                                    const at::Tensor& gradient) {
  send_tensor(to, Kind::TIED_GRADIENT, {Kind::TRAINING, step, {}}, name, gradient);
}

at::Tensor StageLinks::receive_tied_gradient(std::uint64_t step, StageIndex from,
                                             const std::string& name, const proto::Shape& shape) {
  return receive_tensor({from, Kind::TIED_GRADIENT, {Kind::TRAINING, step, {}}, name},
                        {at::kFloat, shape});
}

void StageLinks::send_parameter(const Moment& moment, const std::string& name,
                                const at::Tensor& parameter) {
  send_tensor(StageIndex{0}, Kind::PARAMETER, moment, name, parameter);
}

at::Tensor StageLinks::receive_parameter(const Moment& moment, StageIndex from,
                                         const std::string& name, const proto::Shape& shape) {
  return receive_tensor({from, Kind::PARAMETER, moment, name}, {at::kFloat, shape});
}

void StageLinks::broadcast(const Moment& moment, const std::vector<double>& numbers) {
  auto owner = std::make_shared<std::vector<double>>(numbers);
  for (std::uint32_t stage = 0; stage < plan_.stages.size(); ++stage) {
    if (stage == options_.self.value) continue;
    wire::TensorHeader header;
    header.set_kind(Kind::STEP_NORMS);
    header.set_phase(moment.phase);
    header.set_step(moment.step);
    header.set_micro_batch(moment.micro_batch.value);
    header.set_element_type(wire::FLOAT64);
    header.add_shape(static_cast<std::int64_t>(numbers.size()));
    const auto bytes = std::as_bytes(std::span<const double>(*owner));
    options_.send(StageIndex{stage}, std::move(header), {bytes, owner});
  }
}

std::vector<double> StageLinks::receive_numbers(const Moment& moment, StageIndex from,
                                                std::size_t minimum) {
  const MessageKey key{from, Kind::STEP_NORMS, moment, ""};
  const Message message = take(key);
  const auto bytes = message.payload.bytes;
  if (message.header.element_type() != wire::FLOAT64 || bytes.size() % sizeof(double) != 0 ||
      bytes.size() < minimum * sizeof(double)) {
    throw broken(key, "malformed numbers at the end of the step");
  }
  std::vector<double> numbers(bytes.size() / sizeof(double));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

void StageLinks::send_done(const Moment& moment, StageIndex to) {
  wire::TensorHeader header;
  header.set_kind(Kind::EVALUATED);
  header.set_phase(moment.phase);
  header.set_step(moment.step);
  header.set_micro_batch(moment.micro_batch.value);
  header.set_element_type(wire::FLOAT32);
  options_.send(to, std::move(header), {});
}

void StageLinks::receive_done(const Moment& moment, StageIndex from) {
  (void)mailbox_.take({from, Kind::EVALUATED, moment, ""});
}

std::vector<wire::LinkReport> StageLinks::reports() const {
  const std::lock_guard lock(traffic_mutex_);
  std::vector<wire::LinkReport> reports;
  for (const auto& [link, traffic] : traffic_) {
    wire::LinkReport& report = reports.emplace_back();
    report.set_from_stage(options_.self.value);
    report.set_to_stage(link.first);
    report.set_direction(link.second);
    report.set_bytes_sent(traffic.bytes);
    report.set_dense_bytes(traffic.dense_bytes);
    report.set_rung(traffic.rung);
    report.set_squared_error(traffic.distortion.squared_error);
    report.set_squares(traffic.distortion.squares);
    report.set_encode_s(traffic.encode_s);
    control_.fill(StageIndex{link.first}, report);
  }
  return reports;
}

void StageLinks::take_times(wire::StepTimes& times) {
  for (const auto& [link, seconds] : std::exchange(waits_s_, {})) {
    wire::StepTimes::Wait& wait = *times.add_waits();
    wait.set_from_stage(link.first);
    wait.set_direction(link.second);
    wait.set_wait_s(seconds);
  }
  times.set_decode_s(std::exchange(decode_s_, 0.0));
}

}  // namespace longhaul::compnode
