// Continues a prompt with a model folder: all stages in one process, one token at a time.
#include "compnode/execution/shard.hpp"
#include "compnode/data/tokenizer.hpp"
#include "compnode/files/model_weights.hpp"
#include "compnode/worker/commands.hpp"
#include "compnode/worker/standard_input.hpp"
#include "proto/control.pb.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <ATen/CPUGeneratorImpl.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <thread>

namespace longhaul::compnode {
namespace {

void load(ParameterStore& parameters, const ModelWeights& weights) {
  for (StageParameter& entry : parameters.parameters()) {
    parameters.fill(entry.index, [&](std::span<float> values) {
      read_f32(weights.parameter(entry.index), values).value();
    });
  }
  parameters.refresh_working_copies();
}

// The longest sequence that the model has positions for; 0: no limit.
std::int64_t context_length(const proto::Graph& graph) {
  for (const proto::Operator& op : graph.operators) {
    if (op.kind == proto::OperatorKind::kAddPosition) {
      return graph.parameters[op.parameters.front().value].shape.front();
    }
  }
  return 0;
}

std::int64_t choose(at::Tensor scores, const wire::GenerateRequest& request,
                    at::Generator& generator) {
  if (request.temperature() <= 0.0) return scores.argmax().item<std::int64_t>();
  scores = scores.div(request.temperature());
  if (request.top_k() > 0 && request.top_k() < scores.numel()) {
    const at::Tensor least = std::get<0>(scores.topk(request.top_k())).min();
    scores = scores.masked_fill(scores.lt(least), -std::numeric_limits<double>::infinity());
  }
  return at::multinomial(at::softmax(scores, 0), 1, false, generator).item<std::int64_t>();
}

at::Tensor next_scores(const proto::Graph& graph, Shard& shard,
                       const std::vector<std::int64_t>& ids) {
  const std::int64_t context = context_length(graph);
  const auto count = static_cast<std::int64_t>(ids.size());
  const std::int64_t length = context == 0 ? count : std::min(count, context);
  const at::Tensor tokens =
      at::tensor(ids, at::kLong).narrow(0, count - length, length).unsqueeze(0);
  std::vector<ValueTensor> inputs;
  for (std::uint32_t i = 0; i < graph.data_inputs.size(); ++i) {
    inputs.push_back({proto::ValueIndex{i}, tokens});  // targets are read by the loss alone
  }
  const at::Tensor logits = shard.evaluate(*graph.logits, inputs);
  return logits.select(0, 0).select(0, length - 1).to(at::kFloat);
}

}  // namespace

int generate_command() {
  const auto request = message_from_standard_input<wire::GenerateRequest>();
  set_compute_threads(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  const proto::Graph graph = proto::Graph::from_wire(request.graph()).value();
  if (!graph.logits) {
    throw proto::Failed(
        proto::configuration_error("the graph names no `logits`, so that nothing can be sampled "
                                   "from it; name their operator"));
  }
  const Tokenizer tokenizer = Tokenizer::load(request.folder()).value();
  const ModelWeights weights = ModelWeights::open(request.folder(), graph).value();
  const proto::Plan plan = proto::whole_graph_plan(graph, 1);
  ParameterStore parameters(graph, plan, proto::StageIndex{0}, {at::kCPU, at::kFloat, false});
  load(parameters, weights);
  Shard shard(graph, plan, proto::StageIndex{0}, parameters, at::kFloat);
  at::Generator generator = at::detail::createCPUGenerator(request.seed());

  std::vector<std::int64_t> ids;
  for (const TokenId id : tokenizer.encode(request.prompt())) ids.push_back(id);
  if (ids.empty()) ids.push_back(tokenizer.end_of_text());
  std::cout << request.prompt();
  for (std::uint32_t i = 0; i < request.tokens(); ++i) {
    const std::int64_t next = choose(next_scores(graph, shard, ids), request, generator);
    if (next == static_cast<std::int64_t>(tokenizer.end_of_text())) break;
    ids.push_back(next);
    const TokenId id = static_cast<TokenId>(next);
    std::cout << tokenizer.decode({&id, 1}).value() << std::flush;
  }
  std::cout << '\n';
  return 0;
}

}  // namespace longhaul::compnode
