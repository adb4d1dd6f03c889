// The checksum of payloads and files: against faults of memory, disks and software, not of people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

struct XXH3_state_s;

namespace longhaul::proto {

// XXH3-64 with seed 0.
[[nodiscard]] std::uint64_t checksum(std::span<const std::byte> bytes) noexcept;

// The same of bytes that come in parts.
class Checksum {
 public:
  Checksum();  // throws std::bad_alloc
  void add(std::span<const std::byte> part) noexcept;
  [[nodiscard]] std::uint64_t value() const noexcept;

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
};

}  // namespace longhaul::proto
