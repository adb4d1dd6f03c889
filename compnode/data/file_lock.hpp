// An exclusive lock between processes, given back when its holder dies.
#pragma once

#include "proto/error.hpp"

#include <filesystem>
#include <utility>

namespace longhaul::compnode {

class FileLock {
 public:
  // Makes the file if need be, and waits until no other process or thread holds it. It is removed
  // with the lock: whoever waited for that very file notices, and asks for the one of that name
  // again. kResource.
  [[nodiscard]] static proto::Result<FileLock> wait_for(const std::filesystem::path& path);

  FileLock(FileLock&& other) noexcept
      : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  FileLock(std::filesystem::path path, int descriptor)
      : path_(std::move(path)), descriptor_(descriptor) {}

  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace longhaul::compnode
