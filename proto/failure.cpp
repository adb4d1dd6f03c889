// Kinds one to one, and messages as one line.
#include "proto/failure.hpp"

#include <cstddef>

namespace longhaul::proto {

namespace {

constexpr std::size_t kMaxMessageBytes = 2000;

}  // namespace

wire::Failure to_failure(const Error& error) {
  wire::Failure failure;
  failure.set_message(error.message);
  switch (error.kind) {
    case ErrorKind::kInternal:
      failure.set_kind(wire::Failure::INTERNAL);
      break;
    case ErrorKind::kConfiguration:
      failure.set_kind(wire::Failure::CONFIGURATION);
      break;
    case ErrorKind::kLost:
      failure.set_kind(wire::Failure::LOST);
      break;
    case ErrorKind::kNumeric:
      failure.set_kind(wire::Failure::NUMERIC);
      break;
    case ErrorKind::kCancelled:
      failure.set_kind(wire::Failure::CANCELLED);
      break;
    case ErrorKind::kResource:
      failure.set_kind(wire::Failure::RESOURCE);
      break;
  }
  return failure;
}

Error to_error(const wire::Failure& failure) {
  auto kind = ErrorKind::kInternal;
  if (failure.kind() == wire::Failure::CONFIGURATION) kind = ErrorKind::kConfiguration;
  if (failure.kind() == wire::Failure::LOST) kind = ErrorKind::kLost;
  if (failure.kind() == wire::Failure::NUMERIC) kind = ErrorKind::kNumeric;
  if (failure.kind() == wire::Failure::CANCELLED) kind = ErrorKind::kCancelled;
  if (failure.kind() == wire::Failure::RESOURCE) kind = ErrorKind::kResource;
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

}  // namespace longhaul::proto
