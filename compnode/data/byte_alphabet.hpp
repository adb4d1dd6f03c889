// The printable characters that stand for bytes in the files of byte-level BPE tokenisers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace longhaul::compnode {

// GPT-2 writes byte b as the character U+00b where that is printable (! to ~, U+00A1 to U+00AC,
// U+00AE to U+00FF), and the other 68 bytes, ascending, as U+0100, U+0101, ...: a space is U+0120.
// The bytes that a token's characters stand for; nullopt if some character stands for none, or the
// token is not UTF-8.
[[nodiscard]] std::optional<std::string> bytes_of_symbols(std::string_view token);

}  // namespace longhaul::compnode
