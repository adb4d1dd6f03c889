// How doctest prints a Result: the error's message says why a check failed.
#pragma once

#include "proto/error.hpp"

#include <doctest/doctest.h>

namespace doctest {

template <>
struct StringMaker<longhaul::proto::Error> {
  static String convert(const longhaul::proto::Error& error) {
    return String(error.message.c_str());
  }
};

template <class T>
struct StringMaker<boost::system::result<T, longhaul::proto::Error>> {
  static String convert(const boost::system::result<T, longhaul::proto::Error>& result) {
    return result ? String("a value") : String("error: ") + String(result.error().message.c_str());
  }
};

}  // namespace doctest
