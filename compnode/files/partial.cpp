// Makes, locks and clears away partial files and folders.
#include "compnode/files/partial.hpp"

#include "compnode/files/atomic_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <string>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace longhaul::compnode {
namespace {

constexpr std::string_view kMark = ".partial-";
constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t kSuffixLetters = 10;

bool is_partial_of(std::string_view name, std::string_view stem) {
  if (name.size() < kMark.size() + kSuffixLetters) return false;
  const std::size_t stem_size = name.size() - kMark.size() - kSuffixLetters;
  const std::string_view tail = name.substr(stem_size);
  return (stem.empty() || name.substr(0, stem_size) == stem) && tail.starts_with(kMark) &&
         tail.find_first_not_of(kLetters, kMark.size()) == std::string_view::npos;
}

std::string random_suffix() {
  std::random_device device;
  std::string suffix(kSuffixLetters, ' ');
  for (char& letter : suffix) letter = kLetters[device() % kLetters.size()];
  return suffix;
}

// -1 and errno where it fails; EEXIST where the name is taken.
int make(const std::filesystem::path& path, PartialKind kind) {
  if (kind == PartialKind::kFile) {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  }
  if (::mkdir(path.c_str(), 0777) != 0) return -1;
  return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

// Whether the lock is ours and the name still leads to what is locked: between making and locking,
// another process may have taken it for stale.
bool lock(int descriptor, const std::filesystem::path& path) {
  struct stat held {};
  struct stat named {};
  return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 && ::fstat(descriptor, &held) == 0 &&
         ::stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
         held.st_dev == named.st_dev;
}

void remove_if_stale(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
  if (descriptor < 0) return;
  std::error_code ignored;  // what cannot be removed now is stale the next time, too
  if (lock(descriptor, path)) std::filesystem::remove_all(path, ignored);
  ::close(descriptor);
}

}  // namespace

proto::Error disk_error(const std::filesystem::path& path, std::string_view verb, int error) {
  return {proto::ErrorKind::kResource,
          fmt::format("{}: cannot be {}: {}", path.string(), verb, std::strerror(error))};
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  const std::filesystem::path parent = path.parent_path();
  return parent.empty() ? std::filesystem::path(".") : parent;
}

proto::Result<Partial> create_partial(const std::filesystem::path& path, PartialKind kind) {
  constexpr int kAttempts = 100;
  int error = 0;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    std::filesystem::path partial = path;
    partial += std::string(kMark) + random_suffix();
    errno = 0;
    const int descriptor = make(partial, kind);
    if (descriptor >= 0 && lock(descriptor, partial)) return Partial{partial, descriptor};
    error = errno;
    if (descriptor >= 0) ::close(descriptor);
    // A name that is taken, or that somebody cleared away as stale before it was locked.
    const bool again = descriptor >= 0 || error == EEXIST ||
                       (error == ENOENT && std::filesystem::exists(folder_of(path)));
    if (!again) break;
    std::error_code ignored;
    if (error != EEXIST) std::filesystem::remove_all(partial, ignored);
  }
  return disk_error(path, "written", error);
}

proto::Result<void> sync_descriptor(int descriptor, const std::filesystem::path& path) {
  // EINVAL: the file system has nothing to sync, which some say of folders.
  if (::fsync(descriptor) != 0 && errno != EINVAL) return disk_error(path, "synced", errno);
  return {};
}

proto::Result<void> sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return disk_error(folder, "synced", errno);
  const auto result = sync_descriptor(descriptor, folder);
  ::close(descriptor);
  return result;
}

proto::Result<void> remove_stale_partials(const std::filesystem::path& folder,
                                          std::string_view stem) {
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error == std::errc::no_such_file_or_directory) return {};
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    if (is_partial_of(entries->path().filename().string(), stem)) remove_if_stale(entries->path());
  }
  if (error) return disk_error(folder, "read", error.value());
  return {};
}

}  // namespace longhaul::compnode
