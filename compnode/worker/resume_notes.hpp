// What a user should know about a run that continues from a checkpoint.
#pragma once

#include "compnode/files/checkpoint_store.hpp"
#include "proto/job.pb.h"

#include <string>
#include <vector>

namespace longhaul::compnode {

// The fields of a job file that its numbers depend on, "name=value" a line, as they go into its
// checkpoints. Not among them: the seed and what the graph says, which must not change, and where
// things are or run.
[[nodiscard]] std::string settings_of(const wire::Job& job);

// One line per checkpoint that was skipped as not usable, and one for all settings that the job
// that made the checkpoint had otherwise. `found` has a checkpoint.
[[nodiscard]] std::vector<std::string> resume_notes(const FoundCheckpoint& found,
                                                    const wire::Job& job);

}  // namespace longhaul::compnode
