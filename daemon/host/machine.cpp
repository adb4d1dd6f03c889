// Reads /proc and cgroup v2 for threads and memory; finds sibling programs.
#include "daemon/host/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>
#include <vector>

#include <sched.h>
#include <unistd.h>

namespace longhaul::daemon {

namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

std::optional<std::string> first_line(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  if (!std::getline(stream, line)) return std::nullopt;
  return line;
}

std::optional<std::uint64_t> number_in(const std::filesystem::path& file) {
  const auto line = first_line(file);
  if (!line) return std::nullopt;
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(line->data(), line->data() + line->size(), value);
  if (error != std::errc{}) return std::nullopt;  // cgroup's "max"
  return value;
}

// The process's own cgroup and those above it, each of which may set a limit.
std::vector<std::filesystem::path> cgroup_folders(const MachineFiles& files) {
  std::vector<std::filesystem::path> folders{files.cgroup};
  std::ifstream stream(files.proc / "self" / "cgroup");
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with("0::/")) continue;  // version 2's only line
    auto folder = files.cgroup;
    for (const auto& part : std::filesystem::path(line.substr(4))) {
      if (part == ".." || part.empty()) continue;
      folder /= part;
      folders.push_back(folder);
    }
  }
  return folders;
}

// The value of a line of meminfo, in bytes.
std::uint64_t memory_from_proc(const std::filesystem::path& proc, std::string_view wanted) {
  std::ifstream stream(proc / "meminfo");
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string key;
    std::uint64_t kibibytes = 0;
    if (words >> key >> kibibytes && key == wanted) return kibibytes * 1024;
  }
  return kUnlimited;
}

}  // namespace

std::uint64_t available_memory_bytes(const MachineFiles& files) {
  std::uint64_t available = memory_from_proc(files.proc, "MemAvailable:");
  for (const auto& folder : cgroup_folders(files)) {
    const auto limit = number_in(folder / "memory.max");
    if (!limit) continue;
    const auto used = number_in(folder / "memory.current").value_or(0);
    available = std::min(available, *limit > used ? *limit - used : 0);
  }
  return available == kUnlimited ? 0 : available;
}

std::uint64_t total_memory_bytes(const MachineFiles& files) {
  std::uint64_t total = memory_from_proc(files.proc, "MemTotal:");
  for (const auto& folder : cgroup_folders(files)) {
    total = std::min(total, number_in(folder / "memory.max").value_or(kUnlimited));
  }
  return total == kUnlimited ? 0 : total;
}

std::uint64_t total_memory_bytes() {
  return total_memory_bytes(MachineFiles{"/proc", "/sys/fs/cgroup"});
}

std::uint64_t available_memory_bytes() {
  return available_memory_bytes(MachineFiles{"/proc", "/sys/fs/cgroup"});
}

std::uint32_t cgroup_processors(const MachineFiles& files) {
  std::uint64_t processors = 0;
  for (const auto& folder : cgroup_folders(files)) {
    const auto line = first_line(folder / "cpu.max");  // "QUOTA PERIOD" or "max PERIOD"
    if (!line) continue;
    std::istringstream words(*line);
    std::uint64_t quota = 0;
    std::uint64_t period = 0;
    if (!(words >> quota >> period) || period == 0) continue;
    const auto allowed = std::max<std::uint64_t>(1, (quota + period - 1) / period);
    processors = processors == 0 ? allowed : std::min(processors, allowed);
  }
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(processors, 1u << 16));
}

std::uint32_t available_threads() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  const int counted = sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
  const auto threads = static_cast<std::uint32_t>(std::max(1, counted));
  const auto limit = cgroup_processors(MachineFiles{"/proc", "/sys/fs/cgroup"});
  return limit == 0 ? threads : std::min(threads, limit);
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

std::string machine_id() {
  return first_line("/proc/sys/kernel/random/boot_id").value_or(std::string());
}

std::string processor_name() {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "cpu";
}

proto::Result<std::filesystem::path> find_program(std::string_view name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    auto sibling = self.parent_path() / name;
    if (access(sibling.c_str(), X_OK) == 0) return sibling;
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    auto candidate = std::filesystem::path(folder) / name;
    if (!folder.empty() && access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return proto::configuration_error(
      fmt::format("{} is neither in {} nor on PATH: install it next to this program", name,
                  self.parent_path().string()));
}

proto::Result<std::filesystem::path> find_worker(const std::filesystem::path& configured) {
  std::filesystem::path given = configured;
  if (const char* variable = std::getenv("LONGHAUL_WORKER"); given.empty() && variable != nullptr) {
    given = variable;
  }
  if (given.empty()) return find_program("longhaul-worker");
  std::error_code error;
  const auto absolute = std::filesystem::absolute(given, error);
  if (error || access(absolute.c_str(), X_OK) != 0) {
    return proto::configuration_error(fmt::format(
        "{} is no program that can be run: check --worker or LONGHAUL_WORKER", given.string()));
  }
  return absolute;
}

}  // namespace longhaul::daemon
