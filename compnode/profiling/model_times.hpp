// Runs a whole model on one device and tells what its operators take, for one shape.
#pragma once

#include "compnode/execution/torch.hpp"
#include "proto/graph.hpp"
#include "proto/job.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace longhaul::compnode {

// Seconds of one operator, one micro-batch.
struct PhaseTimes {
  double forward_s = 0.0;
  double input_gradient_s = 0.0;
  double weight_gradient_s = 0.0;

  [[nodiscard]] double sum() const { return forward_s + input_gradient_s + weight_gradient_s; }
};

struct MeasureOptions {
  proto::ShapeBinding binding;
  at::Device device{at::kCPU};
  proto::Precision precision = proto::Precision::kFp32;
  double seconds = 1.0;  // to spend, after a warm-up; at least three passes whatever they take
};

struct ModelTimes {
  PhaseTimes whole;  // of a micro-batch without timers; weight gradients within input gradients
  struct OfClass {
    PhaseTimes each;  // mean over operators of medians over passes
    int operators = 0;
  };
  std::map<std::string, OfClass> classes;  // by proto::operator_class
  std::int64_t parameters = 0;             // elements
  double update_s = 0.0;                   // norms, optimizer and clearing of gradients
};

// Throws proto::Failed where shapes do not fit or memory is short.
[[nodiscard]] ModelTimes measure_model(const proto::Graph& graph, const MeasureOptions& options);

// What the model alone and the same model beside itself take: how much work [1], [2], ... copies
// get done in the time in which one alone does 1. Each copy has its own thread and tensors.
[[nodiscard]] std::vector<double> measure_side_by_side(const proto::Graph& graph,
                                                       const MeasureOptions& options, int copies,
                                                       int threads);

// Two models that differ in their number of layers: `more` has the layers of `fewer` and as many
// again of one or several. Scales the classes' times so that the layers' operators come to what
// the layers add to the whole, and the others to the rest: what happens between operators is
// counted too.
[[nodiscard]] ModelTimes combine(const ModelTimes& fewer, const ModelTimes& more);
// The same with one model: all classes by one factor.
[[nodiscard]] ModelTimes calibrated(ModelTimes times);

}  // namespace longhaul::compnode
