// A 128-bit hash of contents (XXH3): finds equal files, proves nothing against forgery.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace longhaul::compnode {

class ContentHash {
 public:
  ContentHash();
  ~ContentHash();

  // Bytes as they are; the ends of parts are not marked.
  void add(std::span<const std::byte> bytes);
  // Length first, so that two parts never read as another two.
  void add_part(std::string_view bytes);
  void add_number(std::uint64_t number);
  // 32 hexadecimal digits. More may be added after.
  [[nodiscard]] std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace longhaul::compnode
