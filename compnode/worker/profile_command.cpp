// profile: measures a model on a device of this host and writes the profile as JSON.
#include "compnode/profiling/codec_times.hpp"
#include "compnode/profiling/model_times.hpp"
#include "compnode/worker/commands.hpp"
#include "compnode/worker/standard_input.hpp"
#include "proto/channel/transport_cost.hpp"
#include "proto/profile.pb.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace longhaul::compnode {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kCodecRows = 512;
constexpr std::size_t kCodecColumns = 768;
constexpr std::size_t kTransportBytes = std::size_t{1} << 20;
constexpr int kMostCopies = 16;

std::string device_description(const std::string& device) {
  for (const CudaDevice& cuda : cuda_devices()) {
    if (cuda.name == device) return cuda.description;
  }
  return cpu_model();
}

std::vector<proto::Graph> graphs_of(const wire::ProfileRequest& request) {
  std::vector<proto::Graph> graphs;
  for (const wire::Graph& graph : request.graphs()) {
    graphs.push_back(proto::Graph::from_wire(graph).value());
  }
  if (graphs.empty() || graphs.size() > 2) {
    throw proto::Failed(
        proto::configuration_error("a profile is of one model, or of two numbers "
                                   "of layers of it"));
  }
  return graphs;
}

ModelTimes measure(const std::vector<proto::Graph>& graphs, const MeasureOptions& options) {
  const ModelTimes first = measure_model(graphs.front(), options);
  if (graphs.size() == 1) return calibrated(first);
  return combine(first, measure_model(graphs.back(), options));
}

Json point_of(const proto::ShapeBinding& binding, const PhaseTimes& times) {
  return {{"batch", binding.batch},
          {"sequence", binding.sequence},
          {"forward_s", times.forward_s},
          {"input_gradient_s", times.input_gradient_s},
          {"weight_gradient_s", times.weight_gradient_s}};
}

Json codecs() {
  Json rows = Json::array();
  for (const CodecTimes& codec : measure_codecs(kCodecRows, kCodecColumns)) {
    rows.push_back({{"rung", compression::name(codec.rung)},
                    {"bits_per_entry", codec.bits},
                    {"encode_s_per_entry", codec.encode_s},
                    {"decode_s_per_entry", codec.decode_s}});
  }
  return rows;
}

}  // namespace

int profile_command() {
  const auto request = message_from_standard_input<wire::ProfileRequest>();
  const auto graphs = graphs_of(request);
  const int threads = std::max(1, static_cast<int>(request.threads()));
  set_compute_threads(threads);
  MeasureOptions options;
  options.device = parse_device(request.device());
  options.precision = proto::precision_kind(request.precision()).value();
  options.seconds = request.seconds();

  std::map<std::string, Json> points;  // by class
  double update_s_per_parameter = 0.0;
  for (const std::uint32_t batch : request.batches()) {
    for (const std::uint32_t sequence : request.sequences()) {
      options.binding = {.batch = batch, .sequence = sequence};
      std::cerr << fmt::format("batch {}, sequence {}\n", batch, sequence);
      const ModelTimes times = measure(graphs, options);
      for (const auto& [name, of_class] : times.classes) {
        points[name].push_back(point_of(options.binding, of_class.each));
      }
      update_s_per_parameter = times.update_s / static_cast<double>(times.parameters);
    }
  }
  Json operators = Json::array();
  for (auto& [name, of_class] : points) {
    operators.push_back({{"class", name}, {"points", std::move(of_class)}});
  }
  Json profile{{"schema", "longhaul-profile/1"},
               {"kind", fmt::format("{}, {}", device_description(request.device()),
                                    options.device.is_cpu() ? fmt::format("{} thread{}", threads,
                                                                          threads > 1 ? "s" : "")
                                                            : "1 device")},
               {"device", request.device()},
               {"threads", threads},
               {"precision", request.precision()},
               {"torch", torch_version()},
               {"update_s_per_parameter", update_s_per_parameter}};
  if (options.device.is_cpu()) {
    const int processors = static_cast<int>(std::thread::hardware_concurrency());
    profile["processors"] = processors;
    options.binding = {.batch = request.batches(0), .sequence = request.sequences(0)};
    profile["side_by_side"] = measure_side_by_side(
        graphs.front(), options, std::clamp(processors / threads, 1, kMostCopies), threads);
  }
  profile["carry_s_per_byte"] = proto::carry_s_per_byte(kTransportBytes);
  profile["operators"] = std::move(operators);
  profile["codecs"] = codecs();
  std::cout << profile.dump(1) << '\n';
  return 0;
}

}  // namespace longhaul::compnode
