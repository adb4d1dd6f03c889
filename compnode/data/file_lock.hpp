// An exclusive lock between processes, given back when its holder dies.
#pragma once

#include "proto/error.hpp"

#include <filesystem>
#include <utility>

namespace longhaul::compnode {

class FileLock {
 public:
  // Makes the file if need be, and waits until no other process or thread holds it. The file stays
  // behind: deleting it would let two hold locks of the same name. kResource.
  [[nodiscard]] static proto::Result<FileLock> wait_for(const std::filesystem::path& path);

  FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace longhaul::compnode
