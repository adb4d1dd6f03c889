// How a tensor becomes the payload of a message and comes back; format.md specifies every byte.
// Pure functions, safe from any thread.
#pragma once

#include "compression/error.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::compression {

// The number that travels in TensorHeader.codec. Numbers are never reused.
enum class Codec : std::uint32_t {
  kDenseFp32 = 0,  // the tensor's own bytes: float32, little endian
  kDenseBf16 = 1,  // the tensor's own bytes: bfloat16, little endian
  kIntegers = 2,   // non-negative int64, narrowed, then zstd where that is smaller
  kBlocks = 3,     // the whole tensor in blocks of low-bit codes
  kTopK = 4,       // the largest entries and where they were
  kMasked = 5,     // values at the entries of a top-k payload that went the other way
  kIndexed = 6,    // the largest entries as float32 with 64-bit indices
};

// The codec of a number that a peer sent; an error for a number that this version does not know.
[[nodiscard]] Result<Codec> codec_from_number(std::uint32_t number);

// Dense codecs copy nothing: the payload is the tensor's memory, contiguous and row-major. This is
// the receiver's check that a payload holds exactly `elements` of them; the payload may then be
// read in place. An error too if `codec` is not dense.
struct DenseSize {
  std::size_t elements = 0;
  std::size_t payload_bytes = 0;
};
[[nodiscard]] Result<void> check_dense(Codec codec, DenseSize size);

// Values in [0, 2^63); a negative one is refused and named by its position. At most 2 bytes longer
// than the values at their common width.
[[nodiscard]] Result<std::vector<std::byte>> encode_integers(std::span<const std::int64_t> values);

// Fills the whole of `out`, whose length the receiver knows from the header's shape. Refuses a
// payload that holds more or fewer values, or a negative one; allocates at most 8 * out.size()
// bytes whatever the payload says. After an error `out` is unspecified.
[[nodiscard]] Result<void> decode_integers(std::span<const std::byte> payload,
                                           std::span<std::int64_t> out);

}  // namespace longhaul::compression
