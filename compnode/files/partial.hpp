// The names and locks of what is being written, shared by AtomicFile and AtomicFolder.
#pragma once

#include "proto/error.hpp"

#include <filesystem>
#include <string_view>

namespace longhaul::compnode {

enum class PartialKind { kFile, kFolder };

struct Partial {
  std::filesystem::path path;
  int descriptor = -1;  // holds the lock; the caller closes it
};

// Makes "PATH.partial-XXXXXX" and locks it. The lock ends with the process, however it ends.
[[nodiscard]] proto::Result<Partial> create_partial(const std::filesystem::path& path,
                                                    PartialKind kind);

// Syncs an open file or folder, or a folder by name.
[[nodiscard]] proto::Result<void> sync_descriptor(int descriptor,
                                                  const std::filesystem::path& path);
[[nodiscard]] proto::Result<void> sync_folder(const std::filesystem::path& folder);

// kResource: "PATH: cannot be VERB: what errno says".
[[nodiscard]] proto::Error disk_error(const std::filesystem::path& path, std::string_view verb,
                                      int error);

// The folder that holds `path`; "." where it has none.
[[nodiscard]] std::filesystem::path folder_of(const std::filesystem::path& path);

}  // namespace longhaul::compnode
