// Folders that were not there before, to be taken back if nothing comes of what they were made for.
#pragma once

#include <filesystem>
#include <vector>

namespace longhaul::compnode {

class NewFolders {
 public:
  // To be called before anybody makes the folder: notes it, and those above it, if missing. An
  // empty path is none.
  void expect(const std::filesystem::path& folder);

  // Removes those noted that are empty now. Never fails: what cannot be removed stays.
  void remove_empty() const;

 private:
  std::vector<std::filesystem::path> missing_;  // inner ones before those around them
};

}  // namespace longhaul::compnode
