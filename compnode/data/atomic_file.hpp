// A file that appears under its name complete, or not at all.
#pragma once

#include "proto/error.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace longhaul::compnode {

// Writes to "PATH.part"; commit() makes it PATH. Destroyed before that, it leaves nothing. One
// writer per path at a time. Errors are kResource and name the file.
class AtomicFile {
 public:
  [[nodiscard]] static proto::Result<AtomicFile> create(std::filesystem::path path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  // Buffered.
  [[nodiscard]] proto::Result<void> append(std::span<const std::byte> bytes);
  // Replaces bytes already appended.
  [[nodiscard]] proto::Result<void> overwrite(std::uint64_t offset, std::span<const std::byte> bytes);
  // Flushes file and folder to disk and renames.
  [[nodiscard]] proto::Result<void> commit();

 private:
  AtomicFile(std::filesystem::path path, int descriptor);
  [[nodiscard]] proto::Result<void> flush();
  [[nodiscard]] proto::Error failure(const char* what) const;
  [[nodiscard]] std::filesystem::path part() const;

  std::filesystem::path path_;
  int descriptor_;
  std::vector<std::byte> buffer_;
};

}  // namespace longhaul::compnode
