// Foreign text, made harmless.
#include "daemon/configuration/printable.hpp"

namespace longhaul::daemon {
namespace {

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0u) == 0x80u; }

}  // namespace

std::string printable(std::string_view text, std::size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  if (cut) {
    std::size_t end = max_bytes;
    while (end > 0 && continues_character(text[end])) --end;
    text = text.substr(0, end);
  }
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters too; in UTF-8 they begin with C2.
    const bool c1 = byte == 0xC2 && i + 1 < text.size() &&
                    static_cast<unsigned char>(text[i + 1]) < 0xA0 &&
                    continues_character(text[i + 1]);
    if (byte < 0x20 || byte == 0x7F || c1) {
      result += '?';
      if (c1) ++i;
    } else {
      result += text[i];
    }
  }
  if (cut) result += "...";
  return result;
}

}  // namespace longhaul::daemon
