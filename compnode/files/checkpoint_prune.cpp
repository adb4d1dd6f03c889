// Deletes old checkpoints, never the last good one.
#include "compnode/files/atomic_file.hpp"
#include "compnode/files/checkpoint_sets.hpp"
#include "compnode/files/checkpoint_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace longhaul::compnode {
namespace {

proto::Error as_resource(proto::Error error) {
  error.kind = proto::ErrorKind::kResource;
  return error;
}

bool is_complete(const std::filesystem::path& directory, std::uint64_t step) {
  return std::ranges::any_of(open_sets(directory, step),
                             [](const auto& set) { return set.has_value(); });
}

bool is_undamaged(const std::filesystem::path& directory, std::uint64_t step) {
  return std::ranges::any_of(open_sets(directory, step), [](const auto& set) {
    return set.has_value() && verify_all(*set).has_value();
  });
}

// The `keep` newest complete ones among `steps` (ascending), newest first; fewer where there are
// not so many.
std::vector<std::uint64_t> newest_complete(const std::filesystem::path& directory,
                                           const std::vector<std::uint64_t>& steps,
                                           std::uint32_t keep) {
  std::vector<std::uint64_t> complete;
  for (auto step = steps.rbegin(); step != steps.rend() && complete.size() < keep; ++step) {
    if (is_complete(directory, *step)) complete.push_back(*step);
  }
  return complete;
}

}  // namespace

proto::Result<std::vector<std::uint64_t>> prune_checkpoints(
    const std::filesystem::path& directory, PruneOptions options) {
  auto steps = checkpoint_steps(directory);
  if (!steps) return as_resource(steps.error());
  for (const std::uint64_t step : *steps) {
    const auto cleared = remove_stale_partials(step_folder_path(directory, step));
    if (!cleared) return cleared.error();
  }
  std::erase_if(*steps, [&](std::uint64_t step) { return step > options.newest; });
  std::vector<std::uint64_t> deleted;
  if (options.keep == 0) return deleted;
  const auto kept = newest_complete(directory, *steps, options.keep);
  if (kept.size() < options.keep || kept.back() == steps->front()) return deleted;
  if (std::ranges::none_of(kept, [&](auto step) { return is_undamaged(directory, step); })) {
    return proto::Error{proto::ErrorKind::kResource,
                        fmt::format("{}: none of the {} newest checkpoints can be read back "
                                    "intact, so that no older one is deleted: check the disk",
                                    directory.string(), kept.size())};
  }
  for (const std::uint64_t step : *steps) {
    if (step >= kept.back()) break;
    std::error_code error;
    std::filesystem::remove_all(step_folder_path(directory, step), error);
    if (error && error != std::errc::no_such_file_or_directory) {
      return proto::Error{proto::ErrorKind::kResource,
                          fmt::format("{}: cannot be deleted: {}",
                                      step_folder_path(directory, step).string(), error.message())};
    }
    deleted.push_back(step);
  }
  return deleted;
}

}  // namespace longhaul::compnode
