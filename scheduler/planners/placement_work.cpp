// Stages, messages, paths and hosts of a placement.
#include "scheduler/planners/placement_work.hpp"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace longhaul::scheduler {
namespace {

PathWork path_work(const FleetPath& path) {
  PathWork work;
  work.delay_s = path.delay_s;
  work.bytes_per_s = path.bytes_per_s;
  work.per_message_s = path.per_message_s;
  work.changes = path.changes;
  if (!std::isfinite(path.bytes_per_s)) {  // then only a time per message is left of the wire
    work.delay_s += path.per_message_s;
    work.per_message_s = 0.0;
  }
  return work;
}

// Numbers paths as they come up. Pairs of devices at different sites, between which nothing was
// measured, share one per pair of sites; those are looked up in a table, all others in a map.
class PathNumbers {
 public:
  PathNumbers(const Fleet& fleet, const std::vector<PlacedStage>& stages, PipelineWork& work)
      : fleet_(fleet), work_(work), local_(fleet.sites.size(), kNowhere) {
    for (const PlacedStage& stage : stages) {
      std::size_t& local = local_[fleet.site_of(stage.device)];
      if (local == kNowhere) local = sites_++;
    }
    by_site_.assign(sites_ * sites_, kNowhere);
  }

  std::size_t of_messages(std::size_t from, std::size_t to) {
    if (apart(from, to)) return by_sites(from, to);
    const auto [found, is_new] =
        by_key_.try_emplace(fleet_.shared_path(from, to), work_.paths.size());
    if (is_new) work_.paths.push_back(path_work(fleet_.path(from, to)));
    return found->second;
  }

  // Carries no bytes: all pairs within a site may have the same.
  std::size_t of_agreement(std::size_t from, std::size_t to) {
    if (fleet_.devices[from].host == fleet_.devices[to].host) {
      if (within_host_ == kNowhere) {
        within_host_ = work_.paths.size();
        work_.paths.push_back(path_work(fleet_.within_host));
      }
      return within_host_;
    }
    return fleet_.between_hosts.empty() ? by_sites(from, to) : of_messages(from, to);
  }

 private:
  [[nodiscard]] bool apart(std::size_t from, std::size_t to) const {
    return fleet_.between_hosts.empty() && fleet_.site_of(from) != fleet_.site_of(to);
  }
  std::size_t by_sites(std::size_t from, std::size_t to) {
    std::size_t& path =
        by_site_[local_[fleet_.site_of(from)] * sites_ + local_[fleet_.site_of(to)]];
    if (path == kNowhere) {
      path = work_.paths.size();
      work_.paths.push_back(path_work(fleet_.path(from, to)));
    }
    return path;
  }

  const Fleet& fleet_;
  PipelineWork& work_;
  std::vector<std::size_t> local_;  // of each site, its place among those of the placement
  std::size_t sites_ = 0;
  std::vector<std::size_t> by_site_;
  std::unordered_map<std::uint64_t, std::size_t> by_key_;
  std::size_t within_host_ = kNowhere;
};

std::vector<StageTime> times_of(const StageTime& time, const std::vector<double>& costs) {
  if (costs.empty()) return {time};
  std::vector<StageTime> times;
  for (const double cost : costs) {
    times.push_back({.forward_s = time.forward_s * cost,
                     .input_gradient_s = time.input_gradient_s * cost,
                     .weight_gradient_s = time.weight_gradient_s * cost});
  }
  return times;
}

void add_stages(const PlanTables& tables, const PlacedPipeline& placed, PipelineWork& work) {
  const WorkloadTables& sums = tables.workload(placed.workload);
  const Fleet& fleet = tables.problem().fleet;
  // Of machines that are shared, a host and the number in the work.
  std::vector<std::pair<std::size_t, std::size_t>> hosts;
  for (const PlacedStage& placed_stage : placed.stages) {
    const auto [d, first, end] = placed_stage;
    const FleetDevice& device = fleet.devices[d];
    StageWork stage;
    stage.times = times_of(sums.time(d, first, end), tables.problem().micro_batch_costs);
    stage.reduction_s = sums.reduction_s(d, first, end);
    stage.update_s = sums.update_s(d, first, end);
    stage.overlap_slowdown = sums.overlap_slowdown(d);
    // Other devices than cpus do not compute on the host's processors.
    stage.host = work.hosts.size();
    if (device.device == "cpu") {
      // A share of the threads' time takes no more of the processors than that.
      stage.threads = device.threads * device.speed;
      const Host& host = fleet.hosts[device.host];
      const auto known = std::ranges::find_if(hosts, [&](const auto& entry) {
        return entry.first == device.host ||
               (!host.machine.empty() && fleet.hosts[entry.first].machine == host.machine);
      });
      if (known == hosts.end()) {
        hosts.emplace_back(device.host, work.hosts.size());
        work.hosts.push_back({.processors = host.processors,
                              .busy_speed = host.busy_speed,
                              .carry_s_per_byte = host.carry_s_per_byte});
      } else {
        stage.host = known->second;
      }
    } else {
      work.hosts.push_back({});
    }
    const double saved = sums.saved_bytes(first, end);
    const double workspace = sums.workspace_bytes(first, end);
    stage.memory = {.resident = sums.state_bytes(first, end),
                    .saved = saved,
                    .forward_peak = saved + workspace,
                    .backward_peak = saved + workspace,
                    .held_for_weight = saved,
                    .exchange = 0.0};
    work.stages.push_back(std::move(stage));
  }
}

void add_transfers(const PlanTables& tables, const PlacedPipeline& placed, PathNumbers& paths,
                   PipelineWork& work) {
  static const CodecOption kDense{};
  const auto& codecs = tables.problem().codecs;
  for (const Crossing& crossing : crossings(tables.workload(placed.workload), placed.stages)) {
    for (const bool backward : {false, true}) {
      const std::size_t from = backward ? crossing.to : crossing.from;
      const std::size_t to = backward ? crossing.from : crossing.to;
      const CodecOption* codec = &kDense;
      if (!codecs.empty() && crossing.from < placed.codecs.size()) {
        const PlacedPipeline::LinkCodecs& chosen = placed.codecs[crossing.from];
        codec = &codecs[backward ? chosen.backward : chosen.forward];
      }
      work.transfers.push_back(
          {.from = from,
           .to = to,
           .backward = backward,
           .bytes = {crossing.bytes * codec->ratio},
           .encode_s = crossing.bytes * codec->encode_s_per_byte,
           .decode_s = crossing.bytes * codec->decode_s_per_byte,
           .path = paths.of_messages(placed.stages[from].device, placed.stages[to].device)});
      // A tensor that comes or leaves waits on the link.
      work.stages[from].memory.resident += crossing.bytes;
      work.stages[to].memory.resident += crossing.bytes;
    }
  }
}

void add_ties(const PlanTables& tables, const PlacedPipeline& placed, PipelineWork& work) {
  for (const WorkloadTie& tie : tables.workload(placed.workload).workload().ties) {
    TiedWork tied{.stages = {}, .bytes = tie.bytes};
    std::vector<std::size_t> uses;  // of each of them
    for (const std::size_t op : tie.operators) {
      const auto after = std::ranges::upper_bound(placed.stages, op, {}, &PlacedStage::first);
      const auto stage = static_cast<std::size_t>(after - placed.stages.begin()) - 1;
      const auto known = std::ranges::find(tied.stages, stage);
      if (known == tied.stages.end()) {
        tied.stages.push_back(stage);
        uses.push_back(1);
      } else {
        ++uses[static_cast<std::size_t>(known - tied.stages.begin())];
      }
    }
    if (tied.stages.size() < 2) continue;
    for (std::size_t i = 0; i < tied.stages.size(); ++i) {
      const std::size_t held = tie.operators.size() - uses[i] + (uses[i] > 1 ? 1 : 0);
      work.stages[tied.stages[i]].memory.exchange += static_cast<double>(held) * tie.bytes;
    }
    work.tied.push_back(std::move(tied));
  }
}

}  // namespace

std::vector<Crossing> crossings(const WorkloadTables& tables,
                                const std::vector<PlacedStage>& stages) {
  std::vector<Crossing> found;
  for (std::size_t s = 0; s + 1 < stages.size(); ++s) {
    const std::size_t before = found.size();
    for (std::size_t op = stages[s].first; op < stages[s].end; ++op) {
      const auto readers = tables.readers(op);
      if (readers.empty() || readers.back() < stages[s].end) continue;
      std::size_t to = s;
      for (const std::uint32_t reader : readers) {
        if (reader < stages[to].end) continue;  // it is there already
        while (reader >= stages[to].end) ++to;
        const auto known = std::find_if(found.begin() + static_cast<std::ptrdiff_t>(before),
                                        found.end(), [&](const Crossing& c) { return c.to == to; });
        const double bytes = tables.workload().operators[op].output_bytes;
        if (known == found.end()) {
          found.push_back({.from = static_cast<std::uint32_t>(s),
                           .to = static_cast<std::uint32_t>(to),
                           .bytes = bytes});
        } else {
          known->bytes += bytes;
        }
      }
    }
  }
  return found;
}

PipelineWork placement_work(const PlanTables& tables, const PlacedPipeline& placed) {
  PipelineWork work;
  work.schedule = placed.schedule;
  work.run_ahead = placed.run_ahead;
  work.micro_batches = placed.micro_batches(tables.problem());
  add_stages(tables, placed, work);
  PathNumbers paths(tables.problem().fleet, placed.stages, work);
  add_transfers(tables, placed, paths, work);
  add_ties(tables, placed, work);
  const std::size_t count = placed.stages.size();
  if (count < 2) return work;
  work.between.resize(count * count);
  for (std::size_t from = 0; from < count; ++from) {
    for (std::size_t to = 0; to < count; ++to) {
      work.between[from * count + to] =
          paths.of_agreement(placed.stages[from].device, placed.stages[to].device);
    }
  }
  for (const TiedWork& tied : work.tied) {
    for (const std::size_t from : tied.stages) {
      for (const std::size_t to : tied.stages) {
        if (from == to) continue;
        work.between[from * count + to] =
            paths.of_messages(placed.stages[from].device, placed.stages[to].device);
      }
    }
  }
  return work;
}

double peak_bytes(const StageMemory& memory, std::uint32_t in_flight) {
  const double others = in_flight > 0 ? in_flight - 1.0 : 0.0;
  return memory.resident +
         std::max(others * memory.saved + std::max(memory.forward_peak, memory.backward_peak),
                  memory.exchange);
}

}  // namespace longhaul::scheduler
