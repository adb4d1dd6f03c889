// flock on a file of its own.
#include "compnode/data/file_lock.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

namespace longhaul::compnode {

proto::Result<FileLock> FileLock::wait_for(const std::filesystem::path& path) {
  FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  int failed = lock.descriptor_ < 0 ? -1 : 0;
  if (failed == 0) {
    do failed = ::flock(lock.descriptor_, LOCK_EX);
    while (failed != 0 && errno == EINTR);
  }
  if (failed != 0) {
    return proto::Error{
        proto::ErrorKind::kResource,
        fmt::format("{}: cannot be locked: {}", path.string(), std::strerror(errno))};
  }
  return lock;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace longhaul::compnode
