// Between proto::Error, as code returns it, and wire::Failure, as messages carry it.
#pragma once

#include "proto/control.pb.h"
#include "proto/error.hpp"

namespace longhaul::daemon {

[[nodiscard]] inline wire::Failure to_failure(const proto::Error& error) {
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

[[nodiscard]] inline proto::Error to_error(const wire::Failure& failure) {
  auto kind = proto::ErrorKind::kInternal;
  if (failure.kind() == wire::Failure::CONFIGURATION) kind = proto::ErrorKind::kConfiguration;
  if (failure.kind() == wire::Failure::LOST) kind = proto::ErrorKind::kLost;
  if (failure.kind() == wire::Failure::NUMERIC) kind = proto::ErrorKind::kNumeric;
  if (failure.kind() == wire::Failure::CANCELLED) kind = proto::ErrorKind::kCancelled;
  if (failure.kind() == wire::Failure::RESOURCE) kind = proto::ErrorKind::kResource;
  return {kind, failure.message()};
}

}  // namespace longhaul::daemon
