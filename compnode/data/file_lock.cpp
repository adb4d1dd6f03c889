// flock on a file of its own.
#include "compnode/data/file_lock.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace longhaul::compnode {

namespace {

bool names(const std::filesystem::path& path, int descriptor) {
  struct stat held {};
  struct stat named {};
  return ::fstat(descriptor, &held) == 0 && ::stat(path.c_str(), &named) == 0 &&
         held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

}  // namespace

proto::Result<FileLock> FileLock::wait_for(const std::filesystem::path& path) {
  while (true) {
    const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    int failed = descriptor < 0 ? -1 : 0;
    if (failed == 0) {
      do failed = ::flock(descriptor, LOCK_EX);
      while (failed != 0 && errno == EINTR);
    }
    if (failed != 0) {
      const int error = errno;
      if (descriptor >= 0) ::close(descriptor);
      return proto::Error{
          proto::ErrorKind::kResource,
          fmt::format("{}: cannot be locked: {}", path.string(), std::strerror(error))};
    }
    if (names(path, descriptor)) return FileLock(path, descriptor);
    ::close(descriptor);  // removed by who held it before
  }
}

FileLock::~FileLock() {
  if (descriptor_ < 0) return;
  ::unlink(path_.c_str());
  ::close(descriptor_);
}

}  // namespace longhaul::compnode
