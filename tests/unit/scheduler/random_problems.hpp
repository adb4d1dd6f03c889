// Small planning problems from a seed, for unit tests and the benchmark of the planners.
#pragma once

#include "scheduler/planners/planning_problem.hpp"

#include <cstdint>

namespace longhaul::tests {

// 2 to 5 unequal devices at 1 to 3 sites, some on one host with few processors; 4 to 12 operators
// with skips, ties now and then; one or two micro-batch sizes, gpipe and 1f1b, run_ahead 0 and 3,
// often three codecs; memory that is tight for some. A plan need not exist.
[[nodiscard]] scheduler::PlanningProblem random_problem(std::uint64_t seed);

// One operator after the other, each `operator_s` forward and for each gradient on kind "k", and
// `bytes` between them; `devices` of kind "k" with plenty of memory, each at its own host, all at
// one site with free links. 8 samples in micro-batches of one; 1f1b.
[[nodiscard]] scheduler::PlanningProblem plain_problem(std::size_t operators, std::size_t devices,
                                                       double operator_s = 1.0, double bytes = 0.0);

}  // namespace longhaul::tests
