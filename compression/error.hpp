// What every fallible function of compression returns: a value, or an Error of one line.
#pragma once

#include <boost/system/result.hpp>

#include <stdexcept>
#include <string>

namespace longhaul::compression {

// `message` is one line without a full stop: what is wrong, and with which numbers.
struct Error {
  std::string message;

  bool operator==(const Error&) const = default;
};

template <class T>
using Result = boost::system::result<T, Error>;

// Found by boost::system::result when value() meets an error.
[[noreturn]] inline void throw_exception_from_error(const Error& error,
                                                    const boost::source_location&) {
  throw std::runtime_error(error.message);
}

}  // namespace longhaul::compression
