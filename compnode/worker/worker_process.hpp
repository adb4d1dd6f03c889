// `longhaul-worker serve`: one stage of one plan, from its CompNode's first word to its own last.
#pragma once

namespace longhaul::compnode {

// Reads a wire::WorkerBootstrap from standard input, serves the assignment that the CompNode then
// gives, and returns the exit code: 0 finished or stopped, 1 failed, 2 the assignment is wrong.
[[nodiscard]] int serve();

}  // namespace longhaul::compnode
