// Calls xxHash.
#include "compnode/files/checksum.hpp"

#include <xxhash.h>

namespace longhaul::compnode {

std::uint64_t checksum(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

}  // namespace longhaul::compnode
