// Galvatron's search: of all ways to spread a model over alike devices, the one that its cost model
// finds fastest.
#pragma once

#include "proto/error.hpp"
#include "scheduler/galvatron/problem.hpp"
#include "scheduler/galvatron/profile.hpp"
#include "scheduler/galvatron/strategy.hpp"

#include <cstdint>
#include <vector>

namespace longhaul::scheduler::galvatron {

struct StagePlan {
  std::vector<Strategy> layers;
  std::uint64_t memory_mb = 0;  // layers, embedding and head, context, buffer
};

struct FoundPlan {
  std::vector<Strategy> candidates;  // that were searched, ascending
  std::vector<StagePlan> stages;     // all of a size, but that the last has the remainder too
  Strategy rest;                     // of embedding and head; without checkpoint
  double step_s = 0.0;
  double samples_per_s = 0.0;
  std::uint64_t usable_mb = 0;  // of each device's memory
};

// Tries every pipeline degree up to the chunks, with tensor parallelism only, Ulysses only and
// both, up to every largest degree (which sizes a buffer), with every strategy of embedding and
// head; for each the layers' strategies are cheapest_strategies per stage, and pipeline_s decides.
// Of equals the first one stays. A micro-batch with fewer samples than data-parallel groups is not
// considered; one that they do not divide loses the remainder, as in Galvatron.
// Errors: what the check()s and at_sequence refuse (kConfiguration); nothing fits into memory
// (kResource), with how much the smallest plan needs.
[[nodiscard]] proto::Result<FoundPlan> search(const Profile& profile, const Problem& problem);

}  // namespace longhaul::scheduler::galvatron
