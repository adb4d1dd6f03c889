// Random numbers that depend on a key and a counter alone: format.md, "Random numbers".
#pragma once

#include <cstdint>

namespace longhaul::compression {

// SplitMix64's finaliser: bijective.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

inline constexpr std::uint32_t kFirstMultiplier = 0x21f0aaadU;
inline constexpr std::uint32_t kSecondMultiplier = 0x735a2d97U;

struct HashKey {
  std::uint32_t first = 0;
  std::uint32_t second = 0;
};

constexpr HashKey hash_key(std::uint64_t key) {
  const std::uint64_t mixed = mix64(key);
  return {static_cast<std::uint32_t>(mixed), static_cast<std::uint32_t>(mixed >> 32)};
}

// 32 random bits for counter i.
constexpr std::uint32_t hash(HashKey key, std::uint32_t i) {
  std::uint32_t x = i + key.first;
  x ^= x >> 16;
  x *= kFirstMultiplier;
  x ^= x >> 15;
  x ^= key.second;
  x *= kSecondMultiplier;
  return x ^ (x >> 15);
}

}  // namespace longhaul::compression
