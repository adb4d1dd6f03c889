// A keyed permutation of each epoch: a Feistel network, walked until it lands inside the range.
#include "compnode/data/sampler.hpp"

#include "proto/assert.hpp"

#include <bit>

namespace longhaul::compnode {
namespace {

constexpr unsigned kRounds = 6;

// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): a bijection of 64 bits.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

// The network permutes [0, 2^(2h)), the smallest such range with n places: fewer than 4n, so that
// the walk takes fewer than four turns on average.
Sampler::Sampler(std::uint64_t train_sequences, std::uint64_t seed)
    : sequences_(train_sequences), seed_(seed) {
  LONGHAUL_ASSERT(train_sequences >= 1 && train_sequences <= std::uint64_t{1} << 62);
  const auto bits = static_cast<unsigned>(std::bit_width(train_sequences - 1));
  half_bits_ = bits < 2 ? 1 : (bits + 1) / 2;
}

// key = mix(mix(seed) ^ epoch); each round (l, r) -> (r, l ^ low bits of mix(key ^ mix(round << 32
// ^ r))).
std::uint64_t Sampler::sequence_at(std::uint64_t position) const {
  const std::uint64_t key = mix(mix(seed_) ^ (position / sequences_));
  const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
  std::uint64_t place = position % sequences_;
  do {
    std::uint64_t left = place >> half_bits_;
    std::uint64_t right = place & mask;
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      const std::uint64_t mixed = mix(key ^ mix(round << 32 ^ right)) & mask;
      const std::uint64_t next = left ^ mixed;
      left = right;
      right = next;
    }
    place = left << half_bits_ | right;
  } while (place >= sequences_);
  return place;
}

}  // namespace longhaul::compnode
