// Protobuf's parser, its complaints on one line.
#include "proto/message_json.hpp"

#include <fmt/format.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

namespace longhaul::proto {
namespace {

constexpr std::size_t kMaximumBytes = std::size_t{64} << 20;
constexpr std::size_t kShownBytes = 300;

// Protobuf shows the place in the text on lines of their own, cut anywhere, perhaps within a
// character.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kShownBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x7e) {
      out += '?';
    } else if (byte > 0x20) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == '^' || out.back() == '.')) {
    out.pop_back();
  }
  return out.starts_with(": ") ? out.substr(2) : out;
}

}  // namespace

Result<void> parse_message_json(std::string_view json, std::string_view what,
                                google::protobuf::Message& message) {
  if (json.size() > kMaximumBytes) {
    return configuration_error(
        fmt::format("{} of {} bytes; at most {} are allowed", what, json.size(), kMaximumBytes));
  }
  const auto status = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &message);
  if (status.ok()) return {};
  return configuration_error(fmt::format(
      "not {} in Protobuf JSON: {}", what,
      one_line({status.message().data(), static_cast<std::size_t>(status.message().size())})));
}

std::string message_json(const google::protobuf::Message& message) {
  std::string text;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  (void)google::protobuf::util::MessageToJsonString(message, &text, options);
  return text;
}

}  // namespace longhaul::proto
