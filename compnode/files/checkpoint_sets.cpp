// Lists steps and gathers the sets of files in them.
#include "compnode/files/checkpoint_sets.hpp"

#include "compnode/files/checkpoint_store.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

namespace longhaul::compnode {
namespace {

constexpr std::string_view kStepPrefix = "step-";
constexpr std::size_t kStepDigits = 8;

// Takes "PREFIX" and then digits off the front of `text`.
template <class Number>
std::optional<Number> take_number(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  text.remove_prefix(prefix.size());
  Number value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
  return value;
}

std::optional<StagePlace> place_of(std::string_view name) {
  const auto stage = take_number<std::uint32_t>(name, "stage-");
  if (!stage) return std::nullopt;
  const auto stages = take_number<std::uint32_t>(name, "-of-");
  if (!stages || name != ".safetensors") return std::nullopt;
  return StagePlace{.stage = *stage, .stages = *stages};
}

proto::Result<StageFiles> open_set(const std::filesystem::path& directory, std::uint64_t step,
                                   std::uint32_t stages) {
  StageFiles files;
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    const StagePlace place{.stage = stage, .stages = stages};
    const auto path = stage_file_path(directory, step, place);
    if (!std::filesystem::exists(path)) {
      return proto::configuration_error(fmt::format("{}: missing", path.string()));
    }
    auto file = StageFile::open(path);
    if (!file) return file.error();
    if (file->place() != place || file->info().step != step) {
      return proto::configuration_error(
          fmt::format("{}: was written as stage {} of {} at step {}: the file was renamed",
                      path.string(), file->place().stage, file->place().stages, file->info().step));
    }
    if (!files.empty() && file->info() != files.front().info()) {
      return proto::configuration_error(
          fmt::format("{}: is of another run than stage 0", path.string()));
    }
    files.push_back(std::move(*file));
  }
  return files;
}

}  // namespace

std::optional<std::uint64_t> step_of(std::string_view name) {
  if (name.size() < kStepPrefix.size() + kStepDigits) return std::nullopt;
  const auto step = take_number<std::uint64_t>(name, kStepPrefix);
  return name.empty() ? step : std::nullopt;
}

proto::Result<std::vector<std::uint64_t>> checkpoint_steps(const std::filesystem::path& directory) {
  std::vector<std::uint64_t> steps;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  if (error == std::errc::no_such_file_or_directory) return steps;
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    if (const auto step = step_of(entries->path().filename().string())) steps.push_back(*step);
  }
  if (error) {
    return proto::configuration_error(
        fmt::format("{}: cannot be read: {}", directory.string(), error.message()));
  }
  std::ranges::sort(steps);
  return steps;
}

std::vector<proto::Result<StageFiles>> open_sets(const std::filesystem::path& directory,
                                                 std::uint64_t step) {
  std::set<std::uint32_t> sizes;
  std::error_code error;
  std::filesystem::directory_iterator entries(step_folder_path(directory, step), error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const auto place = place_of(entries->path().filename().string());
    if (place && place->stages > 0) sizes.insert(place->stages);
  }
  std::vector<proto::Result<StageFiles>> sets;
  for (const std::uint32_t stages : sizes) sets.push_back(open_set(directory, step, stages));
  return sets;
}

proto::Result<void> verify_all(const StageFiles& files) {
  for (const StageFile& file : files) {
    if (auto verified = file.verify(); !verified) return verified;
  }
  return {};
}

}  // namespace longhaul::compnode
