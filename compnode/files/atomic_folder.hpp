// A folder that appears whole and on disk under its name, or not at all.
#pragma once

#include "proto/error.hpp"

#include <filesystem>

namespace longhaul::compnode {

// Filled beside its place as "NAME.partial-XXXXXX", under the lock of AtomicFile. Destroyed without
// commit, it leaves nothing. Errors are kResource and name the path.
class AtomicFolder {
 public:
  // Makes the parents; removes what dead writers of the same folder left beside it.
  [[nodiscard]] static proto::Result<AtomicFolder> create(const std::filesystem::path& path);
  AtomicFolder(AtomicFolder&& other) noexcept;
  AtomicFolder& operator=(AtomicFolder&&) = delete;
  ~AtomicFolder();

  [[nodiscard]] const std::filesystem::path& partial() const { return partial_; }  // fill this
  // Takes the place of whatever is at `path`, in one step, and removes that.
  [[nodiscard]] proto::Result<void> commit();

 private:
  AtomicFolder(std::filesystem::path path, std::filesystem::path partial, int descriptor);

  std::filesystem::path path_;
  std::filesystem::path partial_;
  int descriptor_ = -1;
};

}  // namespace longhaul::compnode
