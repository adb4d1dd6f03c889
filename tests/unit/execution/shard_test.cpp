// A model cut into stages computes the bits that it computes whole.
#include "compnode/execution/adamw.hpp"
#include "compnode/execution/shard.hpp"
#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

using Gradients = std::map<std::string, at::Tensor>;  // by parameter and operator

constexpr tests::Gpt2Shape kShape{.width = 24, .heads = 3, .vocabulary = 61};

proto::Graph small_gpt2() { return proto::Graph::from_wire(tests::gpt2_graph(kShape)).value(); }

struct Stages {
  proto::Plan plan;
  std::vector<std::unique_ptr<ParameterStore>> parameters;
  std::vector<std::unique_ptr<Shard>> shards;

  Stages(const proto::Graph& graph, const std::vector<std::string>& cuts, at::ScalarType precision)
      : plan(tests::plan_cut_after(graph, cuts)) {
    for (std::uint32_t s = 0; s < plan.stages.size(); ++s) {
      parameters.push_back(std::make_unique<ParameterStore>(
          graph, plan, proto::StageIndex{s}, ParameterStore::Options{at::kCPU, precision, true}));
      parameters.back()->initialise(17);
      shards.push_back(std::make_unique<Shard>(graph, plan, proto::StageIndex{s},
                                               *parameters.back(), precision));
    }
  }
};

struct Outcome {
  double loss = 0.0;
  Gradients gradients;
};

Gradients gradients_of(const proto::Graph& graph, Stages& stages) {
  Gradients gradients;
  for (auto& store : stages.parameters) {
    for (auto& entry : store->parameters()) {
      for (auto& use : entry.uses) {
        gradients[graph.parameters[entry.index.value].name + "@" +
                  graph.operators[use.op.value].id] = use.gradient.clone();
      }
    }
  }
  return gradients;
}

enum class WeightGradients { kNow, kLater };

// One micro-batch through all stages and back, in this thread.
Outcome run(const proto::Graph& graph, Stages& stages, proto::MicroBatchIndex micro_batch,
            WeightGradients weight_gradients = WeightGradients::kNow) {
  at::manual_seed(100 + micro_batch.value);
  std::map<proto::ValueIndex, at::Tensor> values{
      {proto::ValueIndex{0}, at::randint(0, kShape.vocabulary, {2, 12}, at::kLong)},
      {proto::ValueIndex{1}, at::randint(0, kShape.vocabulary, {2, 12}, at::kLong)}};
  const ExecutionPoint point{
      .seed = 3, .step = 1, .first_sequence = 2 * std::uint64_t{micro_batch.value}};
  Outcome outcome;
  for (auto& shard : stages.shards) {
    std::vector<ValueTensor> inputs;
    for (const auto value : shard->inputs()) inputs.push_back({value, values.at(value)});
    auto result = shard->forward(micro_batch, point, inputs, true);
    for (auto& output : result.outputs) values[output.value] = output.tensor;
    if (result.loss.defined()) outcome.loss = result.loss.item<double>();
  }
  std::vector<std::vector<ValueTensor>> sent;  // by stage, latest first
  for (std::size_t s = stages.shards.size(); s-- > 0;) {
    std::vector<ValueTensor> contributions;
    for (const auto& from : sent) {
      for (const auto& gradient : from) {
        const auto& outputs = stages.shards[s]->outputs();
        if (std::find(outputs.begin(), outputs.end(), gradient.value) != outputs.end())
          contributions.push_back(gradient);
      }
    }
    sent.push_back(stages.shards[s]->backward_input(micro_batch, contributions, 0.25));
    if (weight_gradients == WeightGradients::kNow) stages.shards[s]->backward_weight(micro_batch);
  }
  outcome.gradients = gradients_of(graph, stages);
  return outcome;
}

}  // namespace

TEST_CASE("shard: stages compute the same bits as the whole, wherever the cut is") {
  const proto::Graph graph = small_gpt2();
  for (const at::ScalarType precision : {at::kFloat, at::kBFloat16}) {
    Stages whole(graph, {}, precision);
    const std::vector<std::vector<std::string>> cuts{{"h.0.add_2"},
                                                     {"h.0.ln_1", "h.1.gelu"},
                                                     {"drop", "h.0.attention", "h.1.add_1"},
                                                     {"wte", "lm_head"}};
    std::vector<std::unique_ptr<Stages>> split;
    for (const auto& cut : cuts) split.push_back(std::make_unique<Stages>(graph, cut, precision));
    for (std::uint32_t m = 0; m < 3; ++m) {  // gradients accumulate
      const Outcome expected = run(graph, whole, proto::MicroBatchIndex{m});
      CHECK(std::isfinite(expected.loss));
      for (auto& stages : split) {
        const Outcome outcome = run(graph, *stages, proto::MicroBatchIndex{m});
        CHECK(outcome.loss == expected.loss);
        REQUIRE(outcome.gradients.size() == expected.gradients.size());
        for (const auto& [name, gradient] : expected.gradients) {
          CHECK_MESSAGE(outcome.gradients.at(name).equal(gradient), name);
        }
      }
    }
  }
}

TEST_CASE("shard: weight gradients have the same bits any number of micro-batches later") {
  const proto::Graph graph = small_gpt2();
  for (const at::ScalarType precision : {at::kFloat, at::kBFloat16}) {
    Stages now(graph, {"h.0.add_2"}, precision);
    Stages later(graph, {"h.0.add_2"}, precision);
    constexpr std::uint32_t kMicroBatches = 5;
    for (std::uint32_t m = 0; m < kMicroBatches; ++m) {
      const proto::MicroBatchIndex micro_batch{m};
      CHECK(run(graph, later, micro_batch, WeightGradients::kLater).loss ==
            run(graph, now, micro_batch).loss);
    }
    for (auto& shard : later.shards) {
      for (std::uint32_t m = 0; m < kMicroBatches; ++m) {
        shard->backward_weight(proto::MicroBatchIndex{m});
      }
    }
    const Gradients expected = gradients_of(graph, now);
    const Gradients gradients = gradients_of(graph, later);
    REQUIRE(gradients.size() == expected.size());
    for (const auto& [name, gradient] : expected) {
      CHECK_MESSAGE(gradients.at(name).equal(gradient), name);
    }
  }
}

TEST_CASE("shard: a micro-batch that is done leaves no tensor behind") {
  const proto::Graph graph = small_gpt2();
  Stages stages(graph, {"h.0.add_2"}, at::kFloat);
  (void)run(graph, stages, proto::MicroBatchIndex{0});
  const std::uint64_t before = tensor_memory_now();
  for (std::uint32_t m = 1; m < 5; ++m) (void)run(graph, stages, proto::MicroBatchIndex{m});
  CHECK(tensor_memory_now() == before);
}

TEST_CASE("shard: bf16 stays near fp32") {
  const proto::Graph graph = small_gpt2();
  Stages fp32(graph, {}, at::kFloat);
  Stages bf16(graph, {}, at::kBFloat16);
  const double exact = run(graph, fp32, proto::MicroBatchIndex{0}).loss;
  CHECK(run(graph, bf16, proto::MicroBatchIndex{0}).loss == doctest::Approx(exact).epsilon(0.01));
}

TEST_CASE(
    "parameter_store: a parameter starts alike in every split, and differs from its siblings") {
  const proto::Graph graph = small_gpt2();
  Stages whole(graph, {}, at::kFloat);
  Stages split(graph, {"h.0.add_2"}, at::kFloat);
  for (auto& store : split.parameters) {
    for (auto& entry : store->parameters()) {
      CHECK(entry.master.equal(whole.parameters[0]->parameter(entry.index).master));
    }
  }
  const auto first = *graph.find_parameter("h.0.c_fc.weight");
  const auto second = *graph.find_parameter("h.1.c_fc.weight");
  CHECK_FALSE(whole.parameters[0]->parameter(first).master.equal(
      whole.parameters[0]->parameter(second).master));
}

TEST_CASE("learning_rate_at: warms up, then follows a cosine to the final fraction") {
  wire::Training training;
  training.set_steps(110);
  training.mutable_optimizer()->set_learning_rate(1.0);
  training.mutable_schedule()->set_warmup_steps(10);
  training.mutable_schedule()->set_decay("cosine");
  training.mutable_schedule()->set_final(0.1);
  CHECK(learning_rate_at(training, 0) == doctest::Approx(0.1));
  CHECK(learning_rate_at(training, 9) == doctest::Approx(1.0));
  CHECK(learning_rate_at(training, 10) == doctest::Approx(1.0));
  CHECK(learning_rate_at(training, 60) == doctest::Approx(0.55));
  CHECK(learning_rate_at(training, 110) == doctest::Approx(0.1));
  training.mutable_schedule()->set_decay("constant");
  CHECK(learning_rate_at(training, 90) == 1.0);
}

TEST_CASE("squared_norm: agrees with a sum in fp64") {
  const at::Tensor values = at::randn({1003, 77});
  const double expected = values.to(at::kDouble).square().sum().item<double>();
  CHECK(squared_norm(values) == doctest::Approx(expected).epsilon(1e-12));
}

}  // namespace longhaul::compnode
