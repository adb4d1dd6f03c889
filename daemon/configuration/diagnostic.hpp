// Everything that is wrong with a file of the user's, each with its place: the error of a
// Checked<T>.
#pragma once

#include "proto/error.hpp"

#include <boost/system/result.hpp>

#include <compare>
#include <cstddef>
#include <string>
#include <vector>

namespace longhaul::daemon {

// Line and column count from 1, the column in bytes; both 0: the file as a whole.
struct Position {
  std::size_t line = 0;
  std::size_t column = 0;

  auto operator<=>(const Position&) const = default;
};

// `message` is one line without a full stop: what is wrong, and the way out of it.
struct Diagnostic {
  std::string file;
  Position position;
  std::string message;

  bool operator==(const Diagnostic&) const = default;
};

// "file:line:col: message", or "file: message" for the file as a whole.
[[nodiscard]] std::string to_string(const Diagnostic& diagnostic);

// Never empty where it stands for an error; sorted by position.
struct Diagnostics {
  std::vector<Diagnostic> items;

  bool operator==(const Diagnostics&) const = default;
};

// One diagnostic per line, the last line without a newline.
[[nodiscard]] std::string to_string(const Diagnostics& diagnostics);

template <class T>
using Checked = boost::system::result<T, Diagnostics>;

// Found by boost::system::result when value() meets an error.
[[noreturn]] void throw_exception_from_error(const Diagnostics& diagnostics,
                                             const boost::source_location& where);

}  // namespace longhaul::daemon
