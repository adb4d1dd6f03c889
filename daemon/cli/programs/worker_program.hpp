// One-shot commands of longhaul-worker: run to the end and read, or become it.
#pragma once

#include "proto/error.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace longhaul::daemon {

// What the worker printed on standard output. An error holds its last line of standard error; it is
// kConfiguration where the worker exits with 2.
[[nodiscard]] proto::Result<std::string> run_worker(const std::filesystem::path& worker,
                                                    const std::vector<std::string>& arguments,
                                                    const std::string& input);

// Replaces this process by the worker; returns only if that is impossible.
[[nodiscard]] proto::Error become_worker(const std::filesystem::path& worker,
                                         const std::vector<std::string>& arguments,
                                         const std::string& input);

}  // namespace longhaul::daemon
