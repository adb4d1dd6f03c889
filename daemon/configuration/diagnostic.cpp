// How diagnostics read.
#include "daemon/configuration/diagnostic.hpp"

#include <fmt/format.h>

namespace longhaul::daemon {

std::string to_string(const Diagnostic& diagnostic) {
  if (diagnostic.position.line == 0) {
    return fmt::format("{}: {}", diagnostic.file, diagnostic.message);
  }
  return fmt::format("{}:{}:{}: {}", diagnostic.file, diagnostic.position.line,
                     diagnostic.position.column, diagnostic.message);
}

std::string to_string(const Diagnostics& diagnostics) {
  std::string text;
  for (const Diagnostic& diagnostic : diagnostics.items) {
    if (!text.empty()) text += '\n';
    text += to_string(diagnostic);
  }
  return text;
}

void throw_exception_from_error(const Diagnostics& diagnostics, const boost::source_location&) {
  throw proto::Failed(proto::configuration_error(to_string(diagnostics)));
}

}  // namespace longhaul::daemon
