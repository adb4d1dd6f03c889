// A serialised message that another program of ours wrote to our standard input.
#pragma once

#include "proto/error.hpp"

#include <iostream>
#include <iterator>
#include <string>

namespace longhaul::compnode {

// Reads to the end. Throws proto::Failed (kConfiguration) if that is no message of the type.
template <class Message>
[[nodiscard]] Message message_from_standard_input() {
  const std::string bytes{std::istreambuf_iterator<char>(std::cin), {}};
  Message message;
  if (bytes.empty() || !message.ParseFromString(bytes)) {
    throw proto::Failed(proto::configuration_error(
        "this command is run by `longhaul`, which writes its request to standard input; see "
        "`longhaul --help`"));
  }
  return message;
}

}  // namespace longhaul::compnode
