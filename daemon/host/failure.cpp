// Kinds one to one, and messages as one line.
#include "daemon/host/failure.hpp"

#include <cstddef>

namespace longhaul::daemon {

namespace {

constexpr std::size_t kMaxMessageBytes = 2000;

}  // namespace

wire::Failure to_failure(const proto::Error& error) {
  wire::Failure failure;
  failure.set_message(error.message);
  switch (error.kind) {
    case proto::ErrorKind::kInternal:
      failure.set_kind(wire::Failure::INTERNAL);
      break;
    case proto::ErrorKind::kConfiguration:
      failure.set_kind(wire::Failure::CONFIGURATION);
      break;
    case proto::ErrorKind::kLost:
      failure.set_kind(wire::Failure::LOST);
      break;
    case proto::ErrorKind::kNumeric:
      failure.set_kind(wire::Failure::NUMERIC);
      break;
    case proto::ErrorKind::kCancelled:
      failure.set_kind(wire::Failure::CANCELLED);
      break;
    case proto::ErrorKind::kResource:
      failure.set_kind(wire::Failure::RESOURCE);
      break;
  }
  return failure;
}

proto::Error to_error(const wire::Failure& failure) {
  auto kind = proto::ErrorKind::kInternal;
  if (failure.kind() == wire::Failure::CONFIGURATION) kind = proto::ErrorKind::kConfiguration;
  if (failure.kind() == wire::Failure::LOST) kind = proto::ErrorKind::kLost;
  if (failure.kind() == wire::Failure::NUMERIC) kind = proto::ErrorKind::kNumeric;
  if (failure.kind() == wire::Failure::CANCELLED) kind = proto::ErrorKind::kCancelled;
  if (failure.kind() == wire::Failure::RESOURCE) kind = proto::ErrorKind::kResource;
  return {kind, failure.message()};
}

std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (text.size() > kMaxMessageBytes) {
    std::size_t end = kMaxMessageBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text.resize(end);
  }
  return text;
}

}  // namespace longhaul::daemon
