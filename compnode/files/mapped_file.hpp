// A whole regular file, mapped read-only.
#pragma once

#include "proto/error.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

namespace longhaul::compnode {

// The size is taken once, when the file is opened. A file that another process shortens while it
// is mapped raises SIGBUS on access: whoever replaces such a file must write a new one and rename
// it, as everything in this folder does.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  // Errors are kConfiguration and name the file: missing, unreadable, not a regular file.
  [[nodiscard]] static proto::Result<MappedFile> open(const std::filesystem::path& path);

  // Moving the MappedFile keeps them valid.
  [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
  [[nodiscard]] std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace longhaul::compnode
