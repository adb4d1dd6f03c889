// Strings of bits in bytes, the lowest bit of a byte first; the reader never passes its end.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace longhaul::compression {

// Writes to memory that its user knows to be large enough, nothing past the last byte.
class BitWriter {
 public:
  explicit BitWriter(std::byte* to) : to_(to) {}

  // The lower `count` <= 32 bits; those above are zero.
  void put(std::uint64_t bits, unsigned count) {
    waiting_ |= bits << used_;
    used_ += count;
    if (used_ >= 32) {
      std::memcpy(to_, &waiting_, 4);
      to_ += 4;
      waiting_ >>= 32;
      used_ -= 32;
    }
  }

  // Fills the last byte with zeros; returns the byte after it.
  std::byte* finish() {
    const std::size_t bytes = (used_ + 7) / 8;
    std::memcpy(to_, &waiting_, bytes);
    return to_ + bytes;
  }

 private:
  std::byte* to_;
  std::uint64_t waiting_ = 0;
  unsigned used_ = 0;  // below 32 between calls
};

class BitReader {
 public:
  BitReader() = default;
  explicit BitReader(std::span<const std::byte> bytes)
      : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // At least 56 bits afterwards, or all that are left.
  void refill() {
    if (end_ - at_ >= 8) {
      std::uint64_t next = 0;
      std::memcpy(&next, at_, 8);
      waiting_ |= next << have_;
      at_ += (63 - have_) / 8;
      have_ |= 56;
      return;
    }
    while (have_ <= 56 && at_ < end_) {
      waiting_ |= std::to_integer<std::uint64_t>(*at_++) << have_;
      have_ += 8;
    }
  }

  [[nodiscard]] unsigned have() const { return have_; }
  // What comes next; bits beyond have() are of no meaning.
  [[nodiscard]] std::uint64_t peek() const { return waiting_; }
  // `count` <= have(), and below 64.
  void skip(unsigned count) {
    waiting_ >>= count;
    have_ -= count;
  }

  // The zero bits before the next one, which is passed too; false if the string ends before it.
  bool read_unary(std::uint64_t& zeros) {
    zeros = 0;
    for (;;) {
      refill();
      if (have_ == 0) return false;
      const auto run = static_cast<unsigned>(std::countr_zero(waiting_));
      if (run < have_) {
        zeros += run;
        skip(run);  // in two steps: a shift by 64 is undefined
        skip(1);
        return true;
      }
      zeros += have_;
      waiting_ = 0;
      have_ = 0;
    }
  }

  // Whether all that is left are the unused bits of the last byte.
  [[nodiscard]] bool at_end() {
    refill();
    return at_ == end_ && have_ < 8;
  }

 private:
  const std::byte* at_ = nullptr;
  const std::byte* end_ = nullptr;
  std::uint64_t waiting_ = 0;
  unsigned have_ = 0;
};

}  // namespace longhaul::compression
