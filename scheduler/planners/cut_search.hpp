// Where to cut the operators for a given order of unequal devices.
#pragma once

#include "proto/transfer_budget.hpp"
#include "scheduler/planners/evaluator.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace longhaul::scheduler {

// Where a stage may end, [first, second]; one per device of the order.
using EndRanges = std::vector<std::pair<std::size_t, std::size_t>>;

// Dynamic programs over cut positions. Under a cap on the slowest stage and link, the cuts with the
// least sum of compute and transfer times, O(devices * operators) with a sliding minimum; the
// smallest possible cap by bisection; then some larger caps, because what the sum gains may be
// worth more than what the bottleneck loses (few micro-batches, long delays). The estimate decides.
// Memory, pins and data narrow where stages may begin; where the estimate then finds memory
// exceeded, because boundaries take some too, that much is set aside and the cuts are made again. A
// value that skips stages counts at every cut that it crosses.
class CutSearch {
 public:
  explicit CutSearch(Evaluator& evaluator) : evaluator_(&evaluator) {}

  enum class Effort { kQuick, kThorough };

  // The best cuts; a stage for every device of the order, which has at most as many as there are
  // operators. Where none keeps within memory or pins, the best of those that do not: its standing
  // says so.
  RankedPlan best(const std::vector<std::size_t>& order, const Settings& settings, Effort effort,
                  const EndRanges* ends = nullptr);
  // Likewise, quickly; without a stage if the slowest stage or link cannot keep under `cap_s`.
  RankedPlan best_under(double cap_s, const std::vector<std::size_t>& order,
                        const Settings& settings);

 private:
  enum class Relaxed { kNothing, kMemory, kEverything };

  struct Way {  // of a tensor between two neighbours, one direction
    double fixed_s = 0.0;
    struct Coded {
      double s_per_byte = 0.0;  // encoding, wire, decoding
      double wire_s_per_byte = 0.0;
    };
    std::vector<Coded> codecs;
    double delay_s = 0.0;
    double round_trip_s = 0.0;

    std::vector<double> limits;  // under the cap: bytes up to which a codec is chosen
    std::size_t fastest = 0;
  };

  void describe(const std::vector<std::size_t>& order, const Settings& settings);
  void narrow(const std::vector<std::size_t>& order, const Settings& settings, Relaxed relaxed);
  [[nodiscard]] double summed_bytes(std::size_t first, std::size_t end, double in_flight) const;
  void learn(const PlacedPipeline& placed, const Breach& breach);
  [[nodiscard]] bool allowed_data(const std::vector<std::size_t>& order, std::size_t place) const;
  void choose_codecs(Way& way, bool backward, double cap_s) const;
  // Seconds of a tensor of so many bytes; nothing if its wire alone takes more than the cap.
  [[nodiscard]] std::optional<double> crossing_s(const Way& way, double bytes, double cap_s) const;
  [[nodiscard]] bool run(double cap_s, const EndRanges* ends);
  void enter(std::size_t place, double cap_s);
  bool fill(std::size_t place, double cap_s, const EndRanges* ends);
  [[nodiscard]] double bottleneck_s() const;
  [[nodiscard]] double smallest_cap_s(double high_s, const EndRanges* ends);
  bool consider(const std::vector<std::size_t>& order, const Settings& settings, RankedPlan& found);
  void try_cap(double cap_s, const std::vector<std::size_t>& order, const Settings& settings,
               const EndRanges* ends, RankedPlan& found);
  [[nodiscard]] PlacedPipeline placement(const std::vector<std::size_t>& order,
                                         const Settings& settings) const;

  Evaluator* evaluator_;
  const WorkloadTables* sums_ = nullptr;
  proto::PipelinePace pace_;  // of a stage that takes one second
  std::vector<std::span<const double>> totals_;
  std::vector<double> speeds_;
  std::vector<Way> forward_, backward_;     // [place]: between the device before it and it
  std::vector<std::uint32_t> least_first_;  // [place * (operators + 1) + end]
  std::vector<std::uint32_t> chosen_;       // likewise: where the stage begins
  // By operator: least sums after the stage before and after this one; on arrival at this one,
  // less what it takes for all operators before.
  std::vector<double> before_, now_, entered_;
  std::vector<std::uint32_t> window_;
  std::vector<double> set_aside_;  // of each place's memory, for boundaries
  std::vector<double> share_;      // of the operators' sum, that each place needs
  std::vector<std::size_t> cuts_;  // of the last run: ends of the stages
};

}  // namespace longhaul::scheduler
