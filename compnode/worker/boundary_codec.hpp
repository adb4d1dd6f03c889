// What happens to boundary tensors on their way: rungs, the masks that a forward and its backward
// share, and what was lost.
#pragma once

#include "compnode/worker/device_boundary.hpp"
#include "compnode/worker/mailbox.hpp"
#include "compression/rung_costs.hpp"
#include "compression/tensor_codec.hpp"
#include "proto/ids.hpp"

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <tuple>

namespace at {
class Tensor;
}

namespace longhaul::compnode {

// A boundary tensor of one micro-batch, named alike at both of its ends.
struct BoundaryTensor {
  proto::StageIndex from;  // of the forward
  proto::StageIndex to;
  proto::ValueIndex value;
  bool backward = false;  // the gradient, on its way from `to` to `from`
  Moment moment;
};

// Encodes on one thread and decodes on another.
class BoundaryCodec {
 public:
  using Mask = BoundaryMask;

  // `seed`: of the job; the same seed and tensors make the same bytes.
  explicit BoundaryCodec(std::uint64_t seed) : seed_(seed) {}

  // How the forward of a micro-batch came: what its backward has to answer.
  struct Received {
    compression::Rung rung;
    Mask mask;  // positions; empty: none is shared
  };
  // Once per backward, before encode().
  [[nodiscard]] Received take_received(const BoundaryTensor& what);

  struct Encoded {
    compression::Codec codec = compression::Codec::kDenseFp32;
    proto::Payload payload;
    compression::Distortion distortion;
    bool masked = false;
  };
  // `tensor`: fp32 or bf16, contiguous, on the CPU or on a device that DeviceBoundary serves; the
  // payload may refer to its memory. `mask`: of a backward, for a rung without selection. A forward
  // of training leaves its mask for the backward that answers it. A tensor that no lossy rung can
  // carry, one with magnitudes of 2^100, goes out dense.
  [[nodiscard]] Encoded encode(const BoundaryTensor& what, const at::Tensor& tensor,
                               const compression::Rung& rung, const Mask& mask);

  // Encodes some rows of the tensor under a rung, and says what that made and took. None where the
  // rung cannot carry them, or is masked and `mask` is empty.
  [[nodiscard]] std::optional<compression::RungSample> try_rung(const BoundaryTensor& what,
                                                                const at::Tensor& tensor,
                                                                const compression::Rung& rung,
                                                                const Received& answered);

  // Fills `into`, fp32 or bf16, of the tensor's shape, placed as for encode(); an error if the
  // payload is no such tensor. `rung`: under which it was sent, as its sender says.
  [[nodiscard]] compression::Result<void> decode(const BoundaryTensor& what,
                                                 compression::Codec codec,
                                                 const compression::Rung& rung,
                                                 std::span<const std::byte> payload,
                                                 at::Tensor& into);
  // An error names the first NaN or infinity by row and column. `tensor`: as for encode().
  [[nodiscard]] static compression::Result<void> check_finite(const at::Tensor& tensor);
  // A forward that came dense: nothing to decode, but its backward asks how it came.
  void note_dense(const BoundaryTensor& what, const compression::Rung& rung);

 private:
  // Value, stages, micro-batch.
  using MaskKey = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;
  class Kept {
   public:
    void put(const MaskKey& key, Received received);
    [[nodiscard]] Received take(const MaskKey& key);  // dense if there is none

   private:
    std::mutex mutex_;
    std::map<MaskKey, Received> received_;
  };

  // Under `mask`, if there is one; else a mask that the payload has of its own goes to `found`.
  [[nodiscard]] compression::Result<void> encode_to(const at::Tensor& tensor,
                                                    const DeviceBoundary::Options& options,
                                                    const Mask* mask, compression::Encoded& out,
                                                    Mask& found);
  [[nodiscard]] static MaskKey key_of(const BoundaryTensor& what);
  [[nodiscard]] std::uint64_t random_key(const BoundaryTensor& what) const;

  std::uint64_t seed_;
  Kept sent_;      // forwards that this stage sent
  Kept received_;  // forwards that this stage received
  compression::Workspace encoding_;
  compression::Workspace decoding_;
  DeviceBoundary device_encoding_;
  DeviceBoundary device_decoding_;
};

}  // namespace longhaul::compnode
