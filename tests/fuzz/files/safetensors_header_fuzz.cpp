// Headers of foreign safetensors files: refused with one line, or every view lies in the file.
#include "compnode/files/safetensors_header.hpp"
#include "proto/assert.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  const auto header = longhaul::compnode::parse_safetensors_header(file);
  if (!header) {
    LONGHAUL_ASSERT(header.error().kind == longhaul::proto::ErrorKind::kConfiguration);
    LONGHAUL_ASSERT(!header.error().message.empty());
    LONGHAUL_ASSERT(header.error().message.find('\n') == std::string::npos);
    return 0;
  }
  std::uint64_t filled = header->data_offset;
  for (const auto& entry : header->entries) {
    LONGHAUL_ASSERT(header->data_offset + entry.begin == filled);
    filled = header->data_offset + entry.end;
    const auto elements =
        static_cast<std::uint64_t>(longhaul::proto::element_count(entry.shape));
    LONGHAUL_ASSERT(elements * longhaul::compnode::dtype_bits(entry.dtype) ==
                    (entry.end - entry.begin) * 8);
  }
  LONGHAUL_ASSERT(filled == size);
  return 0;
}
