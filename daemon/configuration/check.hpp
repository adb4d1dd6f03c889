// `longhaul config check` and `longhaul config reference`: one file of any kind, and all keys there
// are.
#pragma once

#include "daemon/configuration/diagnostic.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace longhaul::daemon {

enum class FileKind { kJob, kCoordinator, kNode, kClient, kFleet, kProfile, kGraph };

[[nodiscard]] std::string_view file_kind_name(FileKind kind);  // "job", "coordinator", ...
[[nodiscard]] std::optional<FileKind> file_kind(std::string_view name);

// Checks the file as `kind`, or as the kind that its top-level keys point to; returns the kind. A
// job's model is built too, so that errors in config.json or a graph file are found; an operator
// graph on its own is checked with sequences of one token, which every model takes. An error if
// the keys point to no kind, or to several alike.
[[nodiscard]] Checked<FileKind> check_file(const std::filesystem::path& file,
                                           std::optional<FileKind> kind);

// Every key of every kind of file, as Markdown.
[[nodiscard]] std::string configuration_reference();

}  // namespace longhaul::daemon
