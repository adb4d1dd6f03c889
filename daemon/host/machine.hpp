// What this machine offers a worker, and where our programs lie on it.
#pragma once

#include "proto/error.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace longhaul::daemon {

// Processors that this process may run on: its affinity mask and the cgroup's quota; at least 1.
[[nodiscard]] std::uint32_t available_threads();

// Bytes that can still be allocated: MemAvailable, or what the cgroup leaves if that is less.
[[nodiscard]] std::uint64_t available_memory_bytes();

// Bytes that the host, or the tightest cgroup, has in all.
[[nodiscard]] std::uint64_t total_memory_bytes();

// The pure part of these: what the files under `proc` (/proc) and `cgroup` (/sys/fs/cgroup) say.
struct MachineFiles {
  std::filesystem::path proc;
  std::filesystem::path cgroup;
};
[[nodiscard]] std::uint64_t available_memory_bytes(const MachineFiles& files);
[[nodiscard]] std::uint64_t total_memory_bytes(const MachineFiles& files);
[[nodiscard]] std::uint32_t cgroup_processors(const MachineFiles& files);  // 0: no limit

[[nodiscard]] std::string host_name();
// The same in every container of a running kernel, and nowhere else; empty where it does not say.
[[nodiscard]] std::string machine_id();
[[nodiscard]] std::string processor_name();  // "AMD EPYC 9354"; "cpu" where the kernel does not say

// A program of ours: next to our own executable, else on PATH; kConfiguration if nowhere.
[[nodiscard]] proto::Result<std::filesystem::path> find_program(std::string_view name);

// longhaul-worker: `configured`, else the environment's LONGHAUL_WORKER, else find_program.
[[nodiscard]] proto::Result<std::filesystem::path> find_worker(
    const std::filesystem::path& configured);

}  // namespace longhaul::daemon
