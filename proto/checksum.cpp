// libxxhash, with the widest vectors that this processor has.
#include "proto/checksum.hpp"

#include <new>

#include <xxhash.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>
#endif

namespace longhaul::proto {

std::uint64_t checksum(std::span<const std::byte> bytes) noexcept {
  return XXH3_64bits(bytes.data(), bytes.size());
}

void Checksum::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

Checksum::Checksum() : state_(XXH3_createState()) {
  if (!state_) throw std::bad_alloc();
  XXH3_64bits_reset(state_.get());
}

void Checksum::add(std::span<const std::byte> part) noexcept {
  XXH3_64bits_update(state_.get(), part.data(), part.size());
}

std::uint64_t Checksum::value() const noexcept { return XXH3_64bits_digest(state_.get()); }

}  // namespace longhaul::proto
