// Indexes of foreign model folders: refused with one line, or every shard is a plain file name.
#include "compnode/files/weights_index.hpp"
#include "proto/assert.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using longhaul::compnode::parse_weights_index;
  const auto index =
      parse_weights_index(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!index) {
    LONGHAUL_ASSERT(!index.error().message.empty());
    LONGHAUL_ASSERT(index.error().message.find('\n') == std::string::npos);
    return 0;
  }
  for (const auto& [tensor, shard] : *index) {
    const std::filesystem::path path = shard;
    LONGHAUL_ASSERT(path.filename() == path && path.extension() == ".safetensors");
  }
  const auto again = parse_weights_index(longhaul::compnode::render_weights_index(*index, size));
  LONGHAUL_ASSERT(again && *again == *index);
  return 0;
}
