// A job file: YAML in, wire::Job with defaults filled in and absolute paths out.
#pragma once

#include "daemon/configuration/diagnostic.hpp"
#include "proto/job.pb.h"

#include <filesystem>

namespace longhaul::daemon {

// Reads and checks the file: every key, type and range, that every file it names is there, and what
// must hold between keys. The error holds all that is wrong, sorted by position. What is inside the
// named files is not looked at: see model_source.hpp.
// `resume` and, unless the file says `export`, `export_directory` stay empty; the command line may
// set both afterwards.
[[nodiscard]] Checked<wire::Job> load_job(const std::filesystem::path& file);

}  // namespace longhaul::daemon
