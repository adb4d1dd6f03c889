// Fuzz target: any bytes as a YAML file and, through the table of the job file's keys, as a job.
#include "daemon/configuration/tables.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace longhaul;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto root = daemon::parse_yaml(text, "fuzz");
  if (!root) return 0;
  daemon::Reading reading("/nowhere/job.yaml");
  wire::Job job;
  reading.found("", root->position);
  daemon::job_table().read(reading, *root, "", job);
  // Every error is one line with a place in the file.
  for (const daemon::Diagnostic& diagnostic : reading.take_diagnostics().items) {
    if (diagnostic.position.line == 0 && root->position.line != 0) std::abort();  // else: empty
    if (diagnostic.message.find_first_of("\n\r\x1b") != std::string::npos) std::abort();
  }
  return 0;
}
