// Maps a regular file read-only.
#include "compnode/files/mapped_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace longhaul::compnode {
namespace {

proto::Error cannot_read(const std::filesystem::path& path, int error) {
  return proto::configuration_error(
      fmt::format("{}: cannot be read: {}", path.string(), std::strerror(error)));
}

}  // namespace

MappedFile::~MappedFile() {
  if (bytes_.empty()) return;
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

proto::Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  // O_NONBLOCK: a FIFO in the file's place must not stop us.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return cannot_read(path, errno);
  MappedFile file;
  int error = 0;
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    error = errno;
  } else if (!S_ISREG(status.st_mode)) {
    error = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
  } else if (status.st_size > 0) {
    const auto size = static_cast<std::size_t>(status.st_size);
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (address == MAP_FAILED) {
      error = errno;
    } else {
      file.bytes_ = {static_cast<const std::byte*>(address), size};
    }
  }
  ::close(descriptor);
  if (error != 0) return cannot_read(path, error);
  return file;
}

}  // namespace longhaul::compnode
