// What every fallible function of Longhaul returns: a value, or an Error that says what to do.
#pragma once

#include <boost/system/result.hpp>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace longhaul::proto {

// The classes that some code treats differently; anything finer belongs into the message.
enum class ErrorKind {
  kInternal,       // bytes from a peer or a file that make no sense, or a library's refusal
  kConfiguration,  // the user's input is wrong: exit code 2
  kLost,           // a process, host or link went away
  kNumeric,        // NaN or infinity in the training
  kCancelled,      // somebody asked for it
  kResource,       // memory, disk, port
};

// `message` is one line without a full stop: what is wrong, where, and the way out of it.
struct Error {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;

  bool operator==(const Error&) const = default;
};

template <class T>
using Result = boost::system::result<T, Error>;

// The same error with "context: " before its message.
[[nodiscard]] inline Error with_context(std::string_view context, Error error) {
  error.message = std::string(context) + ": " + error.message;
  return error;
}

inline Error configuration_error(std::string message) {
  return {ErrorKind::kConfiguration, std::move(message)};
}

// Thrown where style.md wants an exception: what cannot start, or lost its device.
class Failed : public std::runtime_error {
 public:
  explicit Failed(Error error) : std::runtime_error(error.message), error_(std::move(error)) {}
  [[nodiscard]] const Error& error() const noexcept { return error_; }

 private:
  Error error_;
};

// Found by boost::system::result when value() meets an error.
[[noreturn]] inline void throw_exception_from_error(const Error& error,
                                                    const boost::source_location&) {
  throw Failed(error);
}

}  // namespace longhaul::proto
