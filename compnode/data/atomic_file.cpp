// Write, fsync, rename, fsync of the folder.
#include "compnode/data/atomic_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace longhaul::compnode {
namespace {

constexpr std::size_t kBufferBytes = 1u << 20;
constexpr int kClosed = -1;

}  // namespace

AtomicFile::AtomicFile(std::filesystem::path path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, kClosed)),
      buffer_(std::move(other.buffer_)) {}

AtomicFile::~AtomicFile() {
  if (descriptor_ == kClosed) return;
  ::close(descriptor_);
  ::unlink(part().c_str());
}

std::filesystem::path AtomicFile::part() const { return path_.string() + ".part"; }

proto::Error AtomicFile::failure(const char* what) const {
  return {proto::ErrorKind::kResource,
          fmt::format("{}: cannot {}: {}", part().string(), what, std::strerror(errno))};
}

proto::Result<AtomicFile> AtomicFile::create(std::filesystem::path path) {
  AtomicFile file(std::move(path), kClosed);
  file.descriptor_ = ::open(file.part().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file.descriptor_ < 0) return file.failure("create it");
  file.buffer_.reserve(kBufferBytes);
  return file;
}

proto::Result<void> AtomicFile::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t fits = std::min(bytes.size(), kBufferBytes - buffer_.size());
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(fits));
    bytes = bytes.subspan(fits);
    if (buffer_.size() < kBufferBytes) break;
    if (auto flushed = flush(); !flushed) return flushed;
  }
  return {};
}

proto::Result<void> AtomicFile::flush() {
  std::span<const std::byte> rest = buffer_;
  while (!rest.empty()) {
    const ssize_t written = ::write(descriptor_, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failure("write to it");
    rest = rest.subspan(static_cast<std::size_t>(written));
  }
  buffer_.clear();
  return {};
}

proto::Result<void> AtomicFile::overwrite(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (auto flushed = flush(); !flushed) return flushed;
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failure("write to it");
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

proto::Result<void> AtomicFile::commit() {
  if (auto flushed = flush(); !flushed) return flushed;
  if (::fsync(descriptor_) != 0) return failure("flush it to disk");
  if (::rename(part().c_str(), path_.c_str()) != 0) return failure("rename it");
  ::close(std::exchange(descriptor_, kClosed));
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool flushed = directory >= 0 && ::fsync(directory) == 0;
  if (directory >= 0) ::close(directory);
  if (!flushed) return failure("flush its folder to disk");
  return {};
}

}  // namespace longhaul::compnode
