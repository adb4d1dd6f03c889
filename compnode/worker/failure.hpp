// Whatever went wrong in a worker, as an Error.
#pragma once

#include "proto/error.hpp"

#include <exception>

namespace longhaul::compnode {

// One line from any exception: ours, LibTorch's (without its backtrace), the standard library's.
// What sounds like exhausted memory is kResource.
[[nodiscard]] proto::Error error_of(const std::exception_ptr& exception);

}  // namespace longhaul::compnode
