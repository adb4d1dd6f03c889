// Messages in files: Protobuf's own JSON.
#pragma once

#include "proto/error.hpp"

#include <string>
#include <string_view>

namespace google::protobuf {
class Message;
}

namespace longhaul::proto {

// Fills `message`. `what` names it in errors ("a graph"), which are kConfiguration. Bounded:
// refuses over 64 MiB.
[[nodiscard]] Result<void> parse_message_json(std::string_view json, std::string_view what,
                                              google::protobuf::Message& message);
[[nodiscard]] std::string message_json(const google::protobuf::Message& message);

}  // namespace longhaul::proto
