// A profile that nobody measured: every operator takes the same time.
#pragma once

#include "proto/graph.hpp"
#include "proto/operator_class.hpp"
#include "proto/profile.pb.h"

#include <set>
#include <string>

namespace longhaul::tests {

// JSON as `longhaul probe --profile` writes it; a forward takes a hundredth of a second, and each
// gradient, too, for the first batch and sequence of the request.
inline std::string pretended_profile(const wire::ProfileRequest& request) {
  std::set<std::string> classes;
  const proto::ShapeBinding binding{.batch = request.batches(0), .sequence = request.sequences(0)};
  for (const wire::Graph& message : request.graphs()) {
    const auto graph = proto::Graph::from_wire(message).value();
    const auto shapes = proto::infer_shapes(graph, binding).value();
    for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
      classes.insert(proto::operator_class(graph, proto::OperatorIndex{i}, shapes));
    }
  }
  std::string operators;
  for (const std::string& name : classes) {
    operators +=
        (operators.empty() ? "" : ",") + (R"({"class":")" + name + R"(","points":[{"batch":)") +
        std::to_string(binding.batch) + R"(,"sequence":)" + std::to_string(binding.sequence) +
        R"(,"forward_s":0.01,"input_gradient_s":0.01,"weight_gradient_s":0.01}]})";
  }
  return R"({"schema":"longhaul-profile/1","kind":"pretended","device":"cpu","threads":)" +
         std::to_string(request.threads()) + R"(,"precision":")" + request.precision() +
         R"(","update_s_per_parameter":1e-9,"operators":[)" + operators + "]}";
}

}  // namespace longhaul::tests
