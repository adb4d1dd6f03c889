// A file mapped into memory for reading.
#pragma once

#include "proto/error.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

namespace longhaul::compnode {

// Owns the mapping. The file must not shrink while it is mapped.
class MappedFile {
 public:
  // kConfiguration if `path` cannot be opened or is no regular file; the message names it.
  [[nodiscard]] static proto::Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(data_), size_};
  }
  [[nodiscard]] std::string_view text() const {
    return {static_cast<const char*>(data_), size_};
  }

 private:
  MappedFile(void* data, std::size_t size) : data_(data), size_(size) {}

  void* data_;  // null for an empty file
  std::size_t size_;
};

}  // namespace longhaul::compnode
