// Fills a folder beside its place and moves it there.
#include "compnode/files/atomic_folder.hpp"

#include "compnode/files/atomic_file.hpp"
#include "compnode/files/partial.hpp"
#include "proto/assert.hpp"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

namespace longhaul::compnode {
namespace {

// Where the folder really goes: links resolved, no slash at the end, so that the partial folder
// lies beside it on the same file system.
std::filesystem::path real_place(const std::filesystem::path& path) {
  std::error_code missing;
  std::filesystem::path place = std::filesystem::canonical(path, missing);
  if (missing) place = path.lexically_normal();
  return place.has_filename() ? place : place.parent_path();
}

// In one step where the file system can. The old one is then at `partial`.
bool exchange(const std::filesystem::path& partial, const std::filesystem::path& place) {
  if (::renameat2(AT_FDCWD, partial.c_str(), AT_FDCWD, place.c_str(), RENAME_EXCHANGE) == 0) {
    return true;
  }
  if (errno != EINVAL && errno != ENOSYS) return false;
  std::filesystem::path replaced = partial;
  replaced += ".replaced";
  return std::rename(place.c_str(), replaced.c_str()) == 0 &&
         std::rename(partial.c_str(), place.c_str()) == 0 &&
         std::rename(replaced.c_str(), partial.c_str()) == 0;
}

}  // namespace

AtomicFolder::AtomicFolder(std::filesystem::path path, std::filesystem::path partial,
                           int descriptor)
    : path_(std::move(path)), partial_(std::move(partial)), descriptor_(descriptor) {}

AtomicFolder::AtomicFolder(AtomicFolder&& other) noexcept
    : path_(std::move(other.path_)),
      partial_(std::move(other.partial_)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

AtomicFolder::~AtomicFolder() {
  if (descriptor_ < 0) return;
  std::error_code ignored;
  std::filesystem::remove_all(partial_, ignored);
  ::close(descriptor_);
}

proto::Result<AtomicFolder> AtomicFolder::create(const std::filesystem::path& path) {
  const std::filesystem::path place = real_place(path);
  if (const auto parents = make_folders(place.parent_path()); !parents) return parents.error();
  const auto cleared = remove_stale_partials(folder_of(place), place.filename().string());
  if (!cleared) return cleared.error();
  auto partial = create_partial(place, PartialKind::kFolder);
  if (!partial) return partial.error();
  return AtomicFolder(place, std::move(partial->path), partial->descriptor);
}

proto::Result<void> AtomicFolder::commit() {
  LONGHAUL_ASSERT(descriptor_ >= 0);
  if (const auto synced = sync_descriptor(descriptor_, partial_); !synced) return synced;
  // Plain rename takes the place of nothing or of an empty folder. A full one is exchanged and goes
  // with the destructor.
  if (std::rename(partial_.c_str(), path_.c_str()) == 0) {
    ::close(std::exchange(descriptor_, -1));
  } else if ((errno != ENOTEMPTY && errno != EEXIST) || !exchange(partial_, path_)) {
    return disk_error(path_, "put in place", errno);
  }
  return sync_folder(folder_of(path_));
}

}  // namespace longhaul::compnode
