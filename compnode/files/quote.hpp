// Text of foreign origin, made fit for a one-line message.
#pragma once

#include <string>
#include <string_view>

namespace longhaul::compnode {

// In double quotes; control characters, quotes and bytes beyond ASCII as \xNN; shortened to 80.
[[nodiscard]] std::string quote_name(std::string_view foreign);

}  // namespace longhaul::compnode
