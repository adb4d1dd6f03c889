// A validated operator DAG: what everything behind `from_wire` may rely on.
#pragma once

#include "proto/error.hpp"
#include "proto/graph.pb.h"
#include "proto/ids.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::proto {

using Shape = std::vector<std::int64_t>;

// What a graph may hold at most; from_wire and infer_shapes refuse the rest.
inline constexpr int kMaximumOperators = 32'768;
inline constexpr int kMaximumParameters = 65'536;
inline constexpr std::int64_t kMaximumElements = std::int64_t{1} << 40;  // of a tensor
// Of a dropped-out tensor, per sequence: the random numbers' counter has 32 bits.
inline constexpr std::int64_t kMaximumDroppedElements = (std::int64_t{1} << 32) - 1;

// The operator registry. B: micro-batch, T: sequence. Each operator has one output.
enum class OperatorKind {
  kEmbedding,     // in: tokens [B,T]; parameters: weight [V,C]; out [B,T,C]
  kAddPosition,   // in: [B,T,C]; parameters: weight [P,C], P >= T; out: input + weight[:T]
  kLayerNorm,     // in: [...,C]; parameters: weight [C], bias [C]; attribute real epsilon (1e-5)
  kLinear,        // in: [...,I]; parameters: weight, optionally bias [O]; out [...,O];
                  // attribute text layout: "out_in" (weight [O,I], default) or "in_out" ([I,O])
  kAttention,     // in: qkv [B,T,3C]; attributes integer heads (divides C), real rate (dropout of
                  // the probabilities, 0); causal, scaled by 1/sqrt(C/heads); out [B,T,C]
  kGelu,          // attribute text approximate: "tanh" (default) or "none"; out like in
  kRelu,          // out like in
  kSilu,          // out like in
  kTanh,          // out like in
  kSigmoid,       // out like in
  kAdd,           // two inputs of one shape; out like in
  kMultiply,      // two inputs of one shape; out like in
  kDropout,       // attribute real rate in [0, 1); out like in
  kCausalConv1d,  // in: [B,T,I]; parameters: weight [O,I,K], optionally bias [O]; padded with K-1
                  // zeros on the left; out [B,T,O]
  kCrossEntropy,  // in: logits [B,T,V], targets [B,T]; mean over the B*T positions; out: scalar []
};

// Names as in graph files: "embedding", "add_position", "layer_norm", "linear", "attention",
// "gelu", "relu", "silu", "tanh", "sigmoid", "add", "multiply", "dropout", "causal_conv1d",
// "cross_entropy".
[[nodiscard]] std::string_view operator_name(OperatorKind kind);
[[nodiscard]] std::optional<OperatorKind> operator_kind(std::string_view name);

struct DataInput {
  std::string name;
  bool targets = false;  // else tokens
};

struct Parameter {
  std::string name;
  Shape shape;
  wire::Initialisation::Kind initialisation = wire::Initialisation::ZEROS;
  double standard_deviation = 0.0;
  bool weight_decay = false;

  [[nodiscard]] std::int64_t elements() const;
};

struct Operator {
  std::string id;
  OperatorKind kind{};
  std::vector<ValueIndex> inputs;
  std::vector<ParameterIndex> parameters;
  // Attributes, with defaults filled in; meaningful where the kind has them.
  std::int64_t heads = 0;
  double rate = 0.0;
  double epsilon = 1e-5;
  bool weight_is_in_out = false;  // layout "in_out"
  bool gelu_tanh = true;
};

// Operators are in topological order: stable (as in the file) where that order is free. The order
// is a function of the graph alone, so every process numbers operators alike.
struct Graph {
  std::string name;
  std::vector<DataInput> data_inputs;
  std::vector<Parameter> parameters;
  std::vector<Operator> operators;
  OperatorIndex loss;
  std::optional<OperatorIndex> logits;
  std::string huggingface_config_json;

  [[nodiscard]] ValueIndex value_of(OperatorIndex op) const;
  [[nodiscard]] bool is_data_input(ValueIndex value) const;
  [[nodiscard]] OperatorIndex operator_of(ValueIndex value) const;  // requires !is_data_input
  [[nodiscard]] const std::string& value_name(ValueIndex value) const;
  [[nodiscard]] std::optional<OperatorIndex> find_operator(std::string_view id) const;
  [[nodiscard]] std::optional<ParameterIndex> find_parameter(std::string_view name) const;

  // Checks everything: names unique and present, kinds and attributes known and in range, arities,
  // acyclic (a cycle is named operator by operator), loss a cross_entropy, every size bounded.
  // Errors are kConfiguration and name the operator.
  [[nodiscard]] static Result<Graph> from_wire(const wire::Graph& message);
  [[nodiscard]] wire::Graph to_wire() const;
};

// Reads a graph file: Protobuf JSON of wire::Graph. Operators "dropout" and "attention" without a
// `rate` get `default_dropout`. Bounded: refuses files over 64 MiB.
[[nodiscard]] Result<wire::Graph> parse_graph_json(std::string_view json, double default_dropout);

struct ShapeBinding {
  std::int64_t batch = 0;     // sequences in a micro-batch
  std::int64_t sequence = 0;  // tokens in a sequence
};

// The shape of every value, data inputs first, then operators. Errors are kConfiguration, name the
// operator and both shapes. Bounded: refuses values over kMaximumElements, attention whose
// probabilities have more, and dropout of more than kMaximumDroppedElements per sequence.
[[nodiscard]] Result<std::vector<Shape>> infer_shapes(const Graph& graph, ShapeBinding binding);

[[nodiscard]] std::int64_t element_count(std::span<const std::int64_t> shape);

}  // namespace longhaul::proto
