// Writes a file beside its place and moves it there.
#include "compnode/files/atomic_file.hpp"

#include "compnode/files/partial.hpp"
#include "proto/assert.hpp"

#include <cerrno>
#include <cstdio>
#include <unistd.h>
#include <utility>

namespace longhaul::compnode {

AtomicFile::AtomicFile(std::filesystem::path path, std::filesystem::path partial, int descriptor)
    : path_(std::move(path)), partial_(std::move(partial)), descriptor_(descriptor) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      buffer_(std::move(other.buffer_)) {}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::unlink(partial_.c_str());
  ::close(descriptor_);
}

proto::Result<AtomicFile> AtomicFile::create(const std::filesystem::path& path) {
  auto partial = create_partial(path, PartialKind::kFile);
  if (!partial) return partial.error();
  return AtomicFile(path, std::move(partial->path), partial->descriptor);
}

proto::Result<void> AtomicFile::write_out(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return disk_error(path_, "written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

proto::Result<void> AtomicFile::flush() {
  auto written = write_out(buffer_);
  buffer_.clear();
  return written;
}

proto::Result<void> AtomicFile::append(std::span<const std::byte> bytes) {
  LONGHAUL_ASSERT(descriptor_ >= 0);
  constexpr std::size_t kBufferBytes = 1 << 18;
  if (buffer_.size() + bytes.size() > kBufferBytes) {
    if (auto flushed = flush(); !flushed) return flushed;
  }
  if (bytes.size() > kBufferBytes) return write_out(bytes);
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return {};
}

proto::Result<void> AtomicFile::overwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (auto flushed = flush(); !flushed) return flushed;
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return disk_error(path_, "written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

proto::Result<void> AtomicFile::commit() {
  LONGHAUL_ASSERT(descriptor_ >= 0);
  if (auto flushed = flush(); !flushed) return flushed;
  if (const auto synced = sync_descriptor(descriptor_, path_); !synced) return synced;
  if (std::rename(partial_.c_str(), path_.c_str()) != 0) {
    return disk_error(path_, "put in place", errno);
  }
  ::close(std::exchange(descriptor_, -1));
  return sync_folder(folder_of(path_));
}

proto::Result<void> write_file(const std::filesystem::path& path, std::string_view content) {
  auto file = AtomicFile::create(path);
  if (!file) return file.error();
  if (auto written = file->append(std::as_bytes(std::span(content))); !written) return written;
  return file->commit();
}

proto::Result<void> make_folders(const std::filesystem::path& folder) {
  if (folder.empty() || std::filesystem::is_directory(folder)) return {};
  if (auto parent = make_folders(folder.parent_path()); !parent) return parent;
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  if (error) return disk_error(folder, "made", error.value());
  return sync_folder(folder_of(folder));
}

}  // namespace longhaul::compnode
