// Escapes and shortens foreign text.
#include "compnode/files/quote.hpp"

#include <fmt/format.h>

#include <iterator>

namespace longhaul::compnode {

std::string quote_name(std::string_view foreign) {
  constexpr std::size_t kShown = 80;
  std::string text = "\"";
  for (const char c : foreign.substr(0, kShown)) {
    if (c >= ' ' && c <= '~' && c != '"' && c != '\\') {
      text += c;
    } else {
      fmt::format_to(std::back_inserter(text), "\\x{:02X}", static_cast<unsigned char>(c));
    }
  }
  return text + (foreign.size() > kShown ? "...\"" : "\"");
}

}  // namespace longhaul::compnode
