// What the policy of one link direction is told: its options once, and what each step has shown.
#pragma once

#include "compression/rung.hpp"
#include "compression/rung_costs.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace longhaul::compression {

struct PolicyOptions {
  bool backward = false;
  // From the mildest rung, which is dense and always allowed, to the hardest; every rung passes
  // check(), top-k rungs share their mask, densities never rise. The same at both ends of a link.
  std::vector<Rung> ladder{default_ladder().begin(), default_ladder().end()};
  // The rung of the first step: a place in the ladder; backward: in value_rungs(ladder).
  std::size_t start = 0;
  double distortion = 0.6;        // budget: default_distortion(), or the user's
  std::uint64_t steps = 0;        // of the job; only annealing asks
  double anneal = 0.0;            // share of the steps; forward links only: backward ones follow
  std::uint32_t hold_steps = 2;   // that a milder rung must have fitted before it is taken
  std::uint32_t probe_steps = 4;  // without one full link before a milder rung is tried
  std::uint32_t trial_age = 20;   // steps after which a rung near the one in use is tried again
};

// One step's goodput. 0, negative, NaN or infinity: nothing was measured.
struct LinkReading {
  double goodput_bytes_per_s = 0.0;
  double spread = 0.0;       // relative standard deviation
  bool lower_bound = false;  // the traffic never filled the link
};

// The round trip is not here: with several micro-batches in flight it delays the first one only,
// so it belongs to the budget.
struct StepInput {
  std::uint64_t step = 0;  // the step that has ended, from 0; rises from call to call
  LinkReading link;
  double entries = 0.0;                 // tensor entries of one micro-batch on this link
  std::span<const RungSample> samples;  // of the rung in use and of trials, in any order
  double budget_s = 0.0;       // encode + wire + decode of a micro-batch hidden under compute
  double steady_s = 0.0;       // up to this it costs only filling and emptying; 0: not known
  double water_level_s = 0.0;  // the largest best_time_s() of the job's links; 0: not known
  double loss = std::numeric_limits<double>::quiet_NaN();  // of training; NaN: not known

  // Backward links: the forward of the same boundary.
  std::optional<Rung> forward;                                            // its rung as last known
  std::size_t forward_hardest = std::numeric_limits<std::size_t>::max();  // its hardest_allowed()
  // Forward links: demand() of the backward of the same boundary.
  std::size_t demand = 0;
};

}  // namespace longhaul::compression
