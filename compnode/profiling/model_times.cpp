// Medians over passes; timers in one half of them.
#include "compnode/profiling/model_times.hpp"

#include "compnode/execution/adamw.hpp"
#include "compnode/execution/autograd.hpp"
#include "compnode/execution/shard.hpp"
#include "proto/operator_class.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <optional>
#include <thread>

namespace longhaul::compnode {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLeastPasses = 3;
constexpr int kRounds = 5;  // of measurements that are compared
constexpr int kWarmUp = 2;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// The whole graph as one stage, with random tokens.
class WholeModel {
 public:
  WholeModel(const proto::Graph& graph, const MeasureOptions& options)
      : graph_(graph),
        options_(options),
        plan_(proto::whole_graph_plan(graph, static_cast<std::uint32_t>(options.binding.batch))),
        parameters_(graph, plan_, {}, {options.device, type_of(options.precision), true}),
        shard_(graph, plan_, {}, parameters_, type_of(options.precision)),
        optimizer_(parameters_, settings()) {
    parameters_.initialise(1);
    parameters_.refresh_working_copies();
    for (std::uint32_t i = 0; i < graph.data_inputs.size(); ++i) {
      inputs_.push_back({proto::ValueIndex{i}, tokens()});
    }
  }

  void forward() {
    ExecutionPoint point;
    point.step = ++step_;
    (void)shard_.forward({}, point, inputs_, true);
    synchronize(options_.device);
  }
  void backward() {
    (void)shard_.backward_input({}, {}, 1.0);
    shard_.backward_weight({});
    synchronize(options_.device);
  }
  void update() {
    double norms = 0.0;
    for (StageParameter& entry : parameters_.parameters()) {
      norms += squared_norm(entry.uses.front().gradient);
    }
    optimizer_.apply({.step = step_, .learning_rate = 1e-9, .gradient_scale = norms > 0 ? 1.0 : 0});
    parameters_.zero_gradients();
    synchronize(options_.device);
  }
  void time_operators(std::span<OperatorTimes> times) { shard_.time_operators(times); }
  [[nodiscard]] std::int64_t parameters() const {
    return static_cast<std::int64_t>(parameters_.elements());
  }

 private:
  static at::ScalarType type_of(proto::Precision precision) {
    return precision == proto::Precision::kBf16 ? at::kBFloat16 : at::kFloat;
  }

  static wire::Optimizer settings() {
    wire::Optimizer settings;
    settings.set_name("adamw");
    settings.set_beta1(0.9);
    settings.set_beta2(0.95);
    settings.set_epsilon(1e-8);
    settings.set_weight_decay(0.1);
    return settings;
  }

  at::Tensor tokens() const {
    std::int64_t vocabulary = 2;
    for (const proto::Operator& op : graph_.operators) {
      if (op.kind != proto::OperatorKind::kEmbedding) continue;
      vocabulary = graph_.parameters[op.parameters.front().value].shape.front();
      break;
    }
    return at::randint(vocabulary, {options_.binding.batch, options_.binding.sequence},
                       at::TensorOptions().dtype(at::kLong).device(options_.device));
  }

  const proto::Graph& graph_;
  const MeasureOptions options_;
  const proto::Plan plan_;
  ParameterStore parameters_;
  Shard shard_;
  AdamW optimizer_;
  std::vector<ValueTensor> inputs_;
  std::uint64_t step_ = 0;
};

template <class Work>
double timed_s(const Work& work) {
  const auto start = Clock::now();
  work();
  return seconds_since(start);
}

void add_classes(const proto::Graph& graph, const MeasureOptions& options,
                 const std::vector<OperatorTimes>& times, ModelTimes& result) {
  const auto shapes = proto::infer_shapes(graph, options.binding).value();
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    auto& of_class = result.classes[proto::operator_class(graph, proto::OperatorIndex{i}, shapes)];
    of_class.each.forward_s += median(times[i].forward_s);
    of_class.each.input_gradient_s += median(times[i].input_gradient_s);
    of_class.each.weight_gradient_s += median(times[i].weight_gradient_s);
    ++of_class.operators;
  }
  for (auto& [name, of_class] : result.classes) {
    of_class.each.forward_s /= of_class.operators;
    of_class.each.input_gradient_s /= of_class.operators;
    of_class.each.weight_gradient_s /= of_class.operators;
  }
}

// Sums of operators' times: forward, and both halves of the backward.
struct Sums {
  double forward_s = 0.0;
  double backward_s = 0.0;

  void add(const PhaseTimes& times, int count) {
    forward_s += times.forward_s * count;
    backward_s += (times.input_gradient_s + times.weight_gradient_s) * count;
  }
};

double factor(double whole_s, double sum_s) {
  return whole_s > 0.0 && sum_s > 0.0 ? whole_s / sum_s : 1.0;
}

void scale(PhaseTimes& times, double forward, double backward) {
  times.forward_s *= forward;
  times.input_gradient_s *= backward;
  times.weight_gradient_s *= backward;
}

// What this many copies of the model, each with threads of its own, get done together.
double passes_per_s(const proto::Graph& graph, const MeasureOptions& options, int copies,
                    int threads) {
  std::atomic<std::int64_t> passes{0};
  std::atomic<double> longest_s{0.0};
  std::barrier start_line(copies);
  std::vector<std::jthread> runners;
  for (int i = 0; i < copies; ++i) {
    runners.emplace_back([&] {
      switch_autograd_off();
      set_compute_threads(threads);
      WholeModel model(graph, options);
      const auto pass = [&] {
        model.forward();
        model.backward();
      };
      for (int k = 0; k < kWarmUp; ++k) pass();
      start_line.arrive_and_wait();
      const auto start = Clock::now();
      while (seconds_since(start) < options.seconds / kRounds) {
        pass();
        ++passes;
      }
      const double took_s = seconds_since(start);
      double known_s = longest_s;
      while (took_s > known_s && !longest_s.compare_exchange_weak(known_s, took_s)) {
      }
    });
  }
  runners.clear();
  return static_cast<double>(passes) / longest_s;
}

}  // namespace

ModelTimes measure_model(const proto::Graph& graph, const MeasureOptions& options) {
  WholeModel model(graph, options);
  WholeModel timed_model(graph, options);
  std::vector<OperatorTimes> times(graph.operators.size());
  timed_model.time_operators(times);
  std::vector<double> forward, backward, update;
  const auto pass = [&](bool keep) {
    const double forward_s = timed_s([&] { model.forward(); });
    const double backward_s = timed_s([&] { model.backward(); });
    const double update_s = timed_s([&] { model.update(); });
    timed_model.forward();
    timed_model.backward();
    if (!keep) {
      for (OperatorTimes& of_operator : times) of_operator = {};
      return;
    }
    forward.push_back(forward_s);
    backward.push_back(backward_s);
    update.push_back(update_s);
  };
  for (int i = 0; i < kWarmUp; ++i) pass(false);
  const auto start = Clock::now();
  for (int i = 0; i < kLeastPasses || seconds_since(start) < options.seconds; ++i) pass(true);

  ModelTimes result;
  result.whole = {
      .forward_s = median(forward), .input_gradient_s = median(backward), .weight_gradient_s = 0.0};
  result.update_s = median(update);
  result.parameters = model.parameters();
  add_classes(graph, options, times, result);
  return result;
}

std::vector<double> measure_side_by_side(const proto::Graph& graph, const MeasureOptions& options,
                                         int copies, int threads) {
  if (copies < 1) return {};
  // A machine that others share is not as fast now as it was: every count in every round, against
  // that round's one alone.
  std::vector<std::vector<double>> rates(static_cast<std::size_t>(copies));
  const auto start = Clock::now();
  for (int round = 0; round < kRounds; ++round) {
    if (round > 0 && seconds_since(start) > kRounds * options.seconds) break;  // a large model
    const double alone = passes_per_s(graph, options, 1, threads);
    rates.front().push_back(1.0);
    for (int together = 2; together <= copies; ++together) {
      rates[static_cast<std::size_t>(together - 1)].push_back(
          passes_per_s(graph, options, together, threads) / alone);
    }
  }
  std::vector<double> done;
  for (const std::vector<double>& of_count : rates) done.push_back(median(of_count));
  return done;
}

ModelTimes calibrated(ModelTimes times) {
  Sums sums;
  for (const auto& [name, of_class] : times.classes) sums.add(of_class.each, of_class.operators);
  const double backward_s = times.whole.input_gradient_s + times.whole.weight_gradient_s;
  for (auto& [name, of_class] : times.classes) {
    scale(of_class.each, factor(times.whole.forward_s, sums.forward_s),
          factor(backward_s, sums.backward_s));
  }
  return times;
}

ModelTimes combine(const ModelTimes& fewer, const ModelTimes& more) {
  const auto before = [&](const std::string& name) {
    const auto found = fewer.classes.find(name);
    return found == fewer.classes.end() ? 0 : found->second.operators;
  };
  // Operators that were added; those of their classes that were there already; and the others.
  Sums added, layers, others;
  for (const auto& [name, of_class] : more.classes) {
    const int had = before(name);
    added.add(of_class.each, of_class.operators - had);
    (of_class.operators == had ? others : layers).add(of_class.each, had);
  }
  const auto backward_of = [](const PhaseTimes& whole) {
    return whole.input_gradient_s + whole.weight_gradient_s;
  };
  const double forward = factor(more.whole.forward_s - fewer.whole.forward_s, added.forward_s);
  const double backward =
      factor(backward_of(more.whole) - backward_of(fewer.whole), added.backward_s);
  const double other_forward =
      factor(fewer.whole.forward_s - forward * layers.forward_s, others.forward_s);
  const double other_backward =
      factor(backward_of(fewer.whole) - backward * layers.backward_s, others.backward_s);
  ModelTimes result = more;
  for (auto& [name, of_class] : result.classes) {
    const bool of_layers = of_class.operators != before(name);
    scale(of_class.each, of_layers ? forward : other_forward,
          of_layers ? backward : other_backward);
  }
  return result;
}

}  // namespace longhaul::compnode
