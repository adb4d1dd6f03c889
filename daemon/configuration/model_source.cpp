// From a job's `model` to a checked operator graph.
#include "daemon/configuration/model_source.hpp"

#include "daemon/configuration/gpt2.hpp"
#include "daemon/configuration/reading.hpp"
#include "proto/graph.hpp"

#include <optional>
#include <utility>

namespace longhaul::daemon {
namespace {

constexpr std::size_t kMaxConfigBytes = 1u << 20;
// Enough that their weights do not stay in a cache, as those of a stage do not.
constexpr std::uint32_t kMostProfileLayers = 8;

proto::Result<std::string> read_file(const std::string& file, std::size_t max_bytes) {
  auto text = read_text(file, max_bytes);
  if (text) return std::move(*text);
  return proto::configuration_error(text.error().items.front().message);
}

proto::Result<wire::Graph> from_config(const std::string& file, const wire::Job& job,
                                       std::optional<std::uint32_t> layers) {
  const auto text = read_file(file, kMaxConfigBytes);
  if (!text) return text.error();
  Gpt2Options options{
      .dropout = std::nullopt, .sequence_length = job.data().sequence_length(), .layers = layers};
  if (job.training().has_dropout()) options.dropout = job.training().dropout();
  return gpt2_graph(*text, options);
}

proto::Result<wire::Graph> from_graph_file(const std::string& file, const wire::Job& job) {
  const auto text = read_file(file, kMaxGraphBytes);
  if (!text) return text.error();
  return proto::parse_graph_json(*text, job.training().dropout());
}

// The file that says what the model is; empty if the job names none.
std::string model_file(const wire::ModelSource& model) {
  switch (model.source_case()) {
    case wire::ModelSource::kConfig:
      return model.config();
    case wire::ModelSource::kFrom:
      return model.from() + "/config.json";
    case wire::ModelSource::kGraph:
      return model.graph();
    case wire::ModelSource::SOURCE_NOT_SET:
      return {};
  }
  return {};
}

// What every process behind this one checks too; here the user still hears which file it was.
proto::Result<void> check(const wire::Graph& message, proto::ShapeBinding binding) {
  const auto graph = proto::Graph::from_wire(message);
  if (!graph) return graph.error();
  const auto shapes = proto::infer_shapes(*graph, binding);
  if (!shapes) return shapes.error();
  return {};
}

proto::Result<wire::Graph> build(const wire::Job& job, std::optional<std::uint32_t> layers) {
  const std::string file = model_file(job.model());
  if (file.empty()) {
    return proto::configuration_error("the job names no model; give config, from or graph");
  }
  auto graph =
      job.model().has_graph() ? from_graph_file(file, job) : from_config(file, job, layers);
  if (!graph) return proto::with_context(file, graph.error());
  const proto::ShapeBinding binding{.batch = job.training().micro_batch(),
                                    .sequence = job.data().sequence_length()};
  if (const auto checked = check(*graph, binding); !checked) {
    return proto::with_context(file, checked.error());
  }
  return graph;
}

}  // namespace

proto::Result<void> check_graph(const std::filesystem::path& file) {
  const auto text = read_file(file.string(), kMaxGraphBytes);
  if (!text) return text.error();
  const auto graph = proto::parse_graph_json(*text, 0.0);
  if (!graph) return graph.error();
  return check(*graph, {.batch = 2, .sequence = 1});
}

proto::Result<wire::Graph> build_graph(const wire::Job& job) { return build(job, std::nullopt); }

proto::Result<std::vector<wire::Graph>> build_profile_graphs(const wire::Job& job) {
  std::vector<wire::Graph> graphs;
  if (job.model().has_graph()) {
    auto graph = build(job, std::nullopt);
    if (!graph) return graph.error();
    graphs.push_back(std::move(*graph));
    return graphs;
  }
  for (std::uint32_t layers = kMostProfileLayers; layers >= 1; layers /= 2) {
    auto graph = build(job, layers);
    if (!graph) return graph.error();
    const bool fewer = graphs.empty() || graph->operators_size() < graphs.front().operators_size();
    if (!fewer) {
      graphs.front() = std::move(*graph);
    } else {
      graphs.insert(graphs.begin(), std::move(*graph));
    }
    if (graphs.size() == 2) break;
  }
  return graphs;
}

}  // namespace longhaul::daemon
