// What lies in a folder of checkpoints, before anything is believed of it.
#pragma once

#include "compnode/files/checkpoint_file.hpp"
#include "proto/error.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string_view>
#include <vector>

namespace longhaul::compnode {

// The files of one "of-N" set, by stage.
using StageFiles = std::vector<StageFile>;

// Of a step's folder, by its name; none: it is no such folder.
[[nodiscard]] std::optional<std::uint64_t> step_of(std::string_view name);

// One entry per "of-N" set in the step's folder, N ascending: all its files, which agree on
// everything but the stage, or why the set is not complete. Only headers are checked.
[[nodiscard]] std::vector<proto::Result<StageFiles>> open_sets(
    const std::filesystem::path& directory, std::uint64_t step);

// Every file against its checksum.
[[nodiscard]] proto::Result<void> verify_all(const StageFiles& files);

}  // namespace longhaul::compnode
