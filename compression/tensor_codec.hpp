// Tensors into payloads and back under any rung; format.md specifies every byte.
// Functions are safe from any thread; each thread needs its own Workspace and Encoded.
#pragma once

#include "compression/buffer.hpp"
#include "compression/codec.hpp"
#include "compression/error.hpp"
#include "compression/rung.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace longhaul::compression {

// One bfloat16: the upper half of a binary32.
struct Bf16 {
  std::uint16_t bits = 0;
};

// A tensor as a matrix: `columns` is its last extent (channels), `rows` the product of the others
// (tokens). rows * columns < 2^31.
struct Shape {
  std::size_t rows = 0;
  std::size_t columns = 0;

  [[nodiscard]] std::size_t elements() const { return rows * columns; }
};

// What the payload lost, exactly the same on every processor. Relative distortion is
// squared_error / squares. With masked values both sums are over the mask's entries only.
// Rotated blocks are measured after their rotation, blocks in units of their scale.
struct Distortion {
  double squared_error = 0.0;  // sum of (sent - given)^2
  double squares = 0.0;        // sum of given^2
};

// Memory between calls: after the first call with a size nothing large is allocated any more.
class Workspace {
 public:
  Workspace();
  ~Workspace();
  Workspace(Workspace&&) noexcept;
  Workspace& operator=(Workspace&&) noexcept;

  struct Memory;
  [[nodiscard]] Memory& memory() { return *memory_; }

 private:
  std::unique_ptr<Memory> memory_;
};

// What goes on the wire, and what the sender keeps.
struct Encoded {
  Codec codec = Codec::kDenseFp32;  // a dense codec also where the rung's payload would be larger
  Buffer<std::byte> payload;
  // Row-major positions of the entries sent, in mask order; set if codec is kTopK, else empty. The
  // sender of the forward decodes the backward with it.
  Buffer<std::uint32_t> mask;
  Distortion distortion;
};

// `values` is row-major [rows, columns]. `key` is what stochastic rounding and rotation draw from:
// the same key, values and rung make the same bytes, on any processor.
// Errors: NaN, infinity or a magnitude of 2^100 or more under a lossy rung, named by row and
// column; a rung that check() refuses; sizes that do not match. After an error `out` is
// unspecified.
[[nodiscard]] Result<void> encode(std::span<const float> values, Shape shape, const Rung& rung,
                                  std::uint64_t key, Workspace& workspace, Encoded& out);
[[nodiscard]] Result<void> encode(std::span<const Bf16> values, Shape shape, const Rung& rung,
                                  std::uint64_t key, Workspace& workspace, Encoded& out);

// The values at the entries of `mask` (row-major positions, each below rows * columns: our own,
// asserted), in its order, under codec kMasked; `rung` is one without selection or rotation. Where
// a dense payload is no longer, that goes out instead, with zeros outside the mask. The mask is
// not copied to `out`.
[[nodiscard]] Result<void> encode_masked(std::span<const float> values, Shape shape,
                                         std::span<const std::uint32_t> mask, const Rung& rung,
                                         std::uint64_t key, Workspace& workspace, Encoded& out);
[[nodiscard]] Result<void> encode_masked(std::span<const Bf16> values, Shape shape,
                                         std::span<const std::uint32_t> mask, const Rung& rung,
                                         std::uint64_t key, Workspace& workspace, Encoded& out);

// Fills the whole of `out` (rows * columns values) from foreign bytes of any codec but kIntegers.
// `mask`: for kMasked in: the mask under which the peer encodes, never foreign; for kTopK out: the
// mask that came with the payload; untouched by other codecs. It may be null where the codec
// needs none; without one a kMasked payload is refused.
// Allocates no more than a fixed multiple of `out`, whatever the bytes say; never reads past
// them; what it accepts is finite unless the codec is dense or the format fp32 or bf16, and
// those are checked too: NaN and infinity are refused in all but dense payloads. After an error
// `out` and a mask that was to be filled are unspecified.
[[nodiscard]] Result<void> decode(Codec codec, std::span<const std::byte> payload, Shape shape,
                                  std::span<float> out, Buffer<std::uint32_t>* mask,
                                  Workspace& workspace);
[[nodiscard]] Result<void> decode(Codec codec, std::span<const std::byte> payload, Shape shape,
                                  std::span<Bf16> out, Buffer<std::uint32_t>* mask,
                                  Workspace& workspace);

}  // namespace longhaul::compression
