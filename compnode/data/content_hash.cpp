// Wraps libxxhash's streaming XXH3.
#include "compnode/data/content_hash.hpp"

#include <fmt/format.h>
#include <xxhash.h>

namespace longhaul::compnode {

struct ContentHash::State {
  XXH3_state_t* xxh3 = XXH3_createState();
  ~State() { XXH3_freeState(xxh3); }
};

ContentHash::ContentHash() : state_(std::make_unique<State>()) { XXH3_128bits_reset(state_->xxh3); }

ContentHash::~ContentHash() = default;

void ContentHash::add(std::span<const std::byte> bytes) {
  if (!bytes.empty()) XXH3_128bits_update(state_->xxh3, bytes.data(), bytes.size());
}

void ContentHash::add_part(std::string_view bytes) {
  add_number(bytes.size());
  add(std::as_bytes(std::span(bytes)));
}

void ContentHash::add_number(std::uint64_t number) {
  std::byte bytes[8];  // little-endian on every host
  for (unsigned i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(number >> (8 * i));
  add(bytes);
}

std::string ContentHash::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_->xxh3);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

}  // namespace longhaul::compnode
