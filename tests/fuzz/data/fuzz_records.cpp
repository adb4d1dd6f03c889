// JSONL from anybody: every record is handed on or refused with its line.
#include "compnode/data/documents.hpp"
#include "proto/assert.hpp"

#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace longhaul::compnode;
  std::size_t bytes = 0;
  const auto read =
      read_records({reinterpret_cast<const char*>(data), size}, {"fuzz.jsonl", "text"},
                   [&](std::string_view text) -> longhaul::proto::Result<void> {
                     bytes += text.size();
                     return {};
                   });
  LONGHAUL_ASSERT(bytes <= size);
  if (!read) LONGHAUL_ASSERT(read.error().message.starts_with("fuzz.jsonl:"));
  return 0;
}
