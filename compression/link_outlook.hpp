// What each rung would take on a link now, and which rungs may be used: no memory of decisions.
#pragma once

#include "compression/link_reading.hpp"
#include "compression/rung_costs.hpp"
#include "compression/steady_level.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace longhaul::compression {

// Places are those of the link's rungs: the ladder, or value_rungs(ladder) for a backward link.
class LinkOutlook {
 public:
  explicit LinkOutlook(const PolicyOptions& options);

  void see(const StepInput& input);
  // `floor`: no rung of a smaller density is allowed, in 1 / 10^9.
  void set_floor(std::uint32_t floor) { floor_ = floor; }
  // `place` and harder ones are not allowed before step `until`.
  void bar(std::size_t place, std::uint64_t until);

  [[nodiscard]] std::size_t size() const { return rungs_.size(); }
  [[nodiscard]] const Rung& rung(std::size_t place) const { return rungs_[place]; }
  // As it is given to the encoder: that place's rung, or its values under the forward's mask.
  [[nodiscard]] Rung sent(std::size_t place) const;
  [[nodiscard]] const Rung& forward() const { return forward_; }

  // Whether times can be told at all.
  [[nodiscard]] bool known() const;
  // Encode + wire + decode of a micro-batch; none if the rung was never encoded.
  [[nodiscard]] std::optional<double> time_s(std::size_t place) const;
  [[nodiscard]] std::optional<double> coding_s(std::size_t place) const;  // without the wire
  [[nodiscard]] std::optional<double> distortion(std::size_t place) const;
  // Within the distortion budget, not barred, not below the floor, not coarser than the forward.
  [[nodiscard]] bool allowed(std::size_t place) const;
  [[nodiscard]] bool coarser_than_forward(std::size_t place) const;
  [[nodiscard]] bool too_coarse(std::size_t place) const { return too_coarse_[place]; }
  [[nodiscard]] bool barred(std::size_t place) const;

  // The mildest allowed rung that takes at most `limit_s`, else the fastest; rungs that are not
  // both smaller and faster than every milder one are passed over. None if no time is known.
  [[nodiscard]] std::optional<std::size_t> pick(double limit_s) const;
  [[nodiscard]] double budget_s() const { return budget_.value(); }
  // What a micro-batch may take: the budget, the water level or the link's own best time.
  [[nodiscard]] double limit_s() const;
  // The least that an allowed rung takes; of a backward link, under any forward rung allowed. A
  // link that is not full was hidden: no more than the budget, or what coding alone takes.
  // 0 while some rung was never encoded or nothing is measured.
  [[nodiscard]] double best_time_s(std::size_t in_use) const;
  [[nodiscard]] double goodput_bytes_per_s() const { return goodput_.value(); }

  // Backward: the place in the ladder that the forward must at least have for this link to take at
  // most `limit_s`, else for it to be fastest. 0: none.
  [[nodiscard]] std::size_t demand(double limit_s) const;
  // Backward: the least that it takes under the forward at that place; none if not known.
  [[nodiscard]] std::optional<double> fastest_under(std::size_t ladder_place) const;
  // Of the forward's rung in the ladder; of an intermediate rung, the next harder one's.
  [[nodiscard]] std::size_t forward_place() const;

  // Rungs that should be encoded on a few rows next, at most `most`: those never encoded, then the
  // stalest near `in_use`.
  [[nodiscard]] std::vector<Rung> trials(std::size_t in_use, std::size_t most) const;

 private:
  [[nodiscard]] std::optional<double> time_under(std::size_t place, const Rung& forward) const;
  [[nodiscard]] double fastest_s() const;
  [[nodiscard]] bool masked() const;
  [[nodiscard]] bool complete() const;

  const PolicyOptions options_;
  const std::vector<Rung> rungs_;
  RungCosts costs_;
  SteadyLevel goodput_;
  SteadyLevel budget_;
  SteadyLevel water_;
  double entries_ = 0.0;
  bool lower_bound_ = false;
  std::uint64_t step_ = 0;
  Rung forward_;
  std::size_t forward_hardest_ = 0;
  std::uint32_t floor_ = 0;
  std::vector<bool> too_coarse_;
  std::size_t barred_from_;
  std::uint64_t barred_until_ = 0;
};

}  // namespace longhaul::compression
