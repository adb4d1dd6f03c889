// open, fstat, mmap, and their errors as sentences.
#include "compnode/data/mapped_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace longhaul::compnode {

proto::Result<MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return proto::configuration_error(
        fmt::format("{}: cannot be read: {}", path.string(), std::strerror(errno)));
  }
  struct stat status {};
  const bool regular = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
  const auto size = regular ? static_cast<std::size_t>(status.st_size) : 0;
  void* data = nullptr;
  if (size > 0) {
    data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
  }
  const int error = errno;
  ::close(descriptor);
  if (!regular) {
    return proto::configuration_error(fmt::format("{}: is not a regular file", path.string()));
  }
  if (data == MAP_FAILED) {
    return proto::Error{proto::ErrorKind::kResource, fmt::format("{}: cannot be mapped: {}",
                                                                 path.string(), std::strerror(error))};
  }
  return MappedFile(data, size);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace longhaul::compnode
