// longhaul-worker: the process that hosts a shard; started by longhaul-compnode and by longhaul.
#include "compnode/execution/autograd.hpp"
#include "compnode/execution/torch.hpp"
#include "compnode/worker/commands.hpp"
#include "compnode/worker/failure.hpp"
#include "compnode/worker/worker_process.hpp"

#include <malloc.h>

#include <cstdio>
#include <iostream>
#include <string_view>

namespace {

constexpr int kUsage = 2;

int dispatch(std::string_view command, std::string_view option) {
  using namespace longhaul::compnode;
  if (command == "serve") return serve();
  if (command == "preflight") return preflight_command();
  if (command == "probe") return probe_command(option == "--quick");
  if (command == "profile") return profile_command();
  if (command == "generate") return generate_command();
  if (command == "data") return data_command();
  std::cerr << "usage: longhaul-worker serve|preflight|probe [--quick]|profile|generate|data, "
               "which longhaul-compnode and longhaul run; see `longhaul --help`\n";
  return kUsage;
}

}  // namespace

int main(int argc, char** argv) {
  // Tensors come and go by the megabyte: keep their pages instead of returning them every time.
  constexpr int kKeepBytes = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kKeepBytes);
  mallopt(M_TRIM_THRESHOLD, kKeepBytes);
  longhaul::compnode::install_memory_accounting();
  try {
    longhaul::compnode::switch_autograd_off();
    return dispatch(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
  } catch (...) {
    const auto error = longhaul::compnode::error_of(std::current_exception());
    std::cerr << error.message << '\n';
    return error.kind == longhaul::proto::ErrorKind::kConfiguration ? kUsage : 1;
  }
}
