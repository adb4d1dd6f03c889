// The inverse of GPT-2's mapping of bytes to printable characters.
#include "compnode/data/byte_alphabet.hpp"

#include <array>

namespace longhaul::compnode {
namespace {

constexpr unsigned kSymbols = 256 + 68;
constexpr std::int16_t kNoByte = -1;

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

constexpr std::array<std::int16_t, kSymbols> make_byte_of_symbol() {
  std::array<std::int16_t, kSymbols> table{};
  table.fill(kNoByte);
  unsigned next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    table[stands_for_itself(byte) ? byte : next++] = static_cast<std::int16_t>(byte);
  }
  return table;
}

constexpr auto kByteOfSymbol = make_byte_of_symbol();

}  // namespace

std::optional<std::string> bytes_of_symbols(std::string_view token) {
  std::string bytes;
  for (std::size_t i = 0; i < token.size(); ++i) {
    unsigned symbol = static_cast<unsigned char>(token[i]);
    if (symbol >= 0x80) {  // every symbol is below U+0800: two bytes at most
      if ((symbol & 0xe0u) != 0xc0u || i + 1 == token.size()) return std::nullopt;
      const unsigned low = static_cast<unsigned char>(token[++i]);
      if ((low & 0xc0u) != 0x80u) return std::nullopt;
      symbol = (symbol & 0x1fu) << 6 | (low & 0x3fu);
    }
    if (symbol >= kSymbols || kByteOfSymbol[symbol] == kNoByte) return std::nullopt;
    bytes.push_back(static_cast<char>(kByteOfSymbol[symbol]));
  }
  return bytes;
}

}  // namespace longhaul::compnode
