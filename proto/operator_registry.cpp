// The operators' arities, parameters and attributes, one row each.
#include "proto/operator_registry.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <array>

namespace longhaul::proto {
namespace {

using enum AttributeType;

constexpr std::array kLayerNormAttributes{AttributeRule{"epsilon", kReal, false}};
constexpr std::array kLinearAttributes{AttributeRule{"layout", kText, false}};
constexpr std::array kAttentionAttributes{AttributeRule{"heads", kInteger, true},
                                          AttributeRule{"rate", kReal, false}};
constexpr std::array kGeluAttributes{AttributeRule{"approximate", kText, false}};
constexpr std::array kDropoutAttributes{AttributeRule{"rate", kReal, true}};

constexpr std::array kRules{
    OperatorRule{.kind = OperatorKind::kEmbedding,
                 .name = "embedding",
                 .required_parameters = 1,
                 .data_input = 0},
    OperatorRule{.kind = OperatorKind::kAddPosition,
                 .name = "add_position",
                 .required_parameters = 1},
    OperatorRule{.kind = OperatorKind::kLayerNorm,
                 .name = "layer_norm",
                 .required_parameters = 2,
                 .attributes = kLayerNormAttributes},
    OperatorRule{.kind = OperatorKind::kLinear,
                 .name = "linear",
                 .required_parameters = 1,
                 .optional_parameters = 1,
                 .attributes = kLinearAttributes},
    OperatorRule{.kind = OperatorKind::kAttention,
                 .name = "attention",
                 .attributes = kAttentionAttributes},
    OperatorRule{
        .kind = OperatorKind::kGelu, .name = "gelu", .attributes = kGeluAttributes},
    OperatorRule{.kind = OperatorKind::kRelu, .name = "relu"},
    OperatorRule{.kind = OperatorKind::kSilu, .name = "silu"},
    OperatorRule{.kind = OperatorKind::kTanh, .name = "tanh"},
    OperatorRule{.kind = OperatorKind::kSigmoid, .name = "sigmoid"},
    OperatorRule{.kind = OperatorKind::kAdd, .name = "add", .inputs = 2},
    OperatorRule{.kind = OperatorKind::kMultiply, .name = "multiply", .inputs = 2},
    OperatorRule{
        .kind = OperatorKind::kDropout, .name = "dropout", .attributes = kDropoutAttributes},
    OperatorRule{.kind = OperatorKind::kCausalConv1d,
                 .name = "causal_conv1d",
                 .required_parameters = 1,
                 .optional_parameters = 1},
    OperatorRule{.kind = OperatorKind::kCrossEntropy,
                 .name = "cross_entropy",
                 .inputs = 2,
                 .data_input = 1},
};

constexpr auto kNames = [] {
  std::array<std::string_view, kRules.size()> names;
  for (std::size_t i = 0; i < kRules.size(); ++i) names[i] = kRules[i].name;
  return names;
}();

constexpr bool rows_follow_the_enumeration() {
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    if (kRules[i].kind != static_cast<OperatorKind>(i)) return false;
  }
  return kRules.back().kind == OperatorKind::kCrossEntropy;
}
static_assert(rows_follow_the_enumeration());

}  // namespace

std::span<const OperatorRule> operator_rules() { return kRules; }

const OperatorRule& operator_rule(OperatorKind kind) {
  const auto index = static_cast<std::size_t>(kind);
  LONGHAUL_ASSERT(index < kRules.size());
  return kRules[index];
}

std::span<const std::string_view> operator_names() { return kNames; }

std::string_view operator_name(OperatorKind kind) { return operator_rule(kind).name; }

std::optional<OperatorKind> operator_kind(std::string_view name) {
  const auto rule = std::find_if(kRules.begin(), kRules.end(),
                                 [&](const OperatorRule& r) { return r.name == name; });
  if (rule == kRules.end()) return std::nullopt;
  return rule->kind;
}

}  // namespace longhaul::proto
