// XXH3-64, the checksum of everything that Longhaul stores or sends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace longhaul::compnode {

[[nodiscard]] std::uint64_t checksum(std::span<const std::byte> bytes);

}  // namespace longhaul::compnode
