// The exit codes of every program, and one-line errors on standard error.
#pragma once

#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <string_view>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace longhaul::daemon {

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;  // usage, configuration, too few resources to begin with, NaN

// kUsage for kConfiguration, kResource and kNumeric: the user has to change something.
[[nodiscard]] int exit_code(const proto::Error& error);
// Of a job that ended: NaN comes of the job's own numbers, so kUsage; a lack of resources is the
// user's to mend only if it never trained.
[[nodiscard]] int exit_code(const wire::JobStatus& job, bool has_trained);

// "longhaul: message" as one line.
void print_error(std::string_view program, std::string_view message);
int fail(std::string_view program, const proto::Error& error);  // prints, returns its exit code
// Ends a command line that was not parsed to its end: prints the help or the version where they
// were asked for, else what is wrong. Returns the exit code.
int usage(std::string_view program, const CLI::App& app, const CLI::ParseError& error);

}  // namespace longhaul::daemon
