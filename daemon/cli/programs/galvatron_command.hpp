// `longhaul plan --galvatron-profile`: the options of Galvatron's search, and running it.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>

namespace longhaul::daemon {

struct GalvatronOptions {
  std::filesystem::path profile;  // a folder; empty: not asked for
  std::uint32_t layers = 0;
  std::uint64_t hidden = 0;
  std::uint64_t sequence = 0;
  std::uint32_t devices = 0;
  double memory_gb = 0.0;
  std::uint32_t batch = 0;
  std::uint32_t chunks = 0;
  bool coarse = false;
};

// Whoever gives one of them has to give them all, save --coarse.
void add_galvatron_options(CLI::App& command, GalvatronOptions& options);

// Prints the plan, or what is wrong. Returns the exit code.
int plan_from_galvatron(const GalvatronOptions& options, bool json);

}  // namespace longhaul::daemon
