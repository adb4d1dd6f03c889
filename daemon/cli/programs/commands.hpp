// The commands of `longhaul`, each of which adds itself to the parser.
#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <functional>
#include <string_view>

namespace longhaul::daemon {

inline constexpr std::string_view kLonghaul = "longhaul";

struct CommandLine {
  CLI::App app;
  std::filesystem::path config;  // of the user; empty: the default file
  std::filesystem::path worker;  // empty: found
  std::function<int()> action;   // what the chosen command does; returns the exit code
};

void add_run_command(CommandLine& line);
void add_node_commands(CommandLine& line);
void add_job_commands(CommandLine& line);
void add_config_commands(CommandLine& line);
void add_worker_commands(CommandLine& line);  // probe, generate, data
void add_plan_command(CommandLine& line);
void add_simulate_command(CommandLine& line);
void add_keys_commands(CommandLine& line);

// The --json flag that every command has.
void add_json_option(CLI::App& command, bool& json);

}  // namespace longhaul::daemon
