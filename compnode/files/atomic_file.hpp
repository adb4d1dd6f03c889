// A file that appears whole and on disk under its name, or not at all.
#pragma once

#include "proto/error.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

namespace longhaul::compnode {

// Written beside its place as "NAME.partial-XXXXXX" and held under a lock, by which others know
// that its writer lives. Destroyed without commit, it leaves nothing. Errors are kResource and name
// the path.
class AtomicFile {
 public:
  [[nodiscard]] static proto::Result<AtomicFile> create(const std::filesystem::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Buffered.
  [[nodiscard]] proto::Result<void> append(std::span<const std::byte> bytes);
  // Replaces bytes appended before, all of them there already.
  [[nodiscard]] proto::Result<void> overwrite(std::uint64_t offset,
                                              std::span<const std::byte> bytes);
  // Syncs the file, renames it over `path`, and syncs the folder.
  [[nodiscard]] proto::Result<void> commit();

 private:
  AtomicFile(std::filesystem::path path, std::filesystem::path partial, int descriptor);

  [[nodiscard]] proto::Result<void> flush();
  [[nodiscard]] proto::Result<void> write_out(std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::filesystem::path partial_;
  int descriptor_ = -1;
  std::vector<std::byte> buffer_;
};

// A whole small file.
[[nodiscard]] proto::Result<void> write_file(const std::filesystem::path& path,
                                             std::string_view content);

// Folders and their parents; new entries are synced. Errors are kResource.
[[nodiscard]] proto::Result<void> make_folders(const std::filesystem::path& folder);

// Removes what writers that no longer live left in the folder: "STEM.partial-XXXXXX" that nobody
// locks, for the given STEM or for all. A folder that is not there has nothing.
[[nodiscard]] proto::Result<void> remove_stale_partials(const std::filesystem::path& folder,
                                                        std::string_view stem = {});

}  // namespace longhaul::compnode
