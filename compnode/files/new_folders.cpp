// Walks up to the first folder that exists.
#include "compnode/files/new_folders.hpp"

#include <system_error>

namespace longhaul::compnode {

namespace fs = std::filesystem;

void NewFolders::expect(const fs::path& folder) {
  std::error_code ignored;
  fs::path place = folder.has_filename() ? folder : folder.parent_path();
  while (!place.empty() && fs::symlink_status(place, ignored).type() == fs::file_type::not_found) {
    missing_.push_back(place);
    place = place.parent_path();
  }
}

void NewFolders::remove_empty() const {
  std::error_code ignored;
  for (const fs::path& folder : missing_) {
    if (fs::is_directory(fs::symlink_status(folder, ignored))) fs::remove(folder, ignored);
  }
}

}  // namespace longhaul::compnode
