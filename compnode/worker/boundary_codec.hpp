// What happens to boundary tensors on their way: rungs, the masks that a forward and its backward
// share, and what was lost.
#pragma once

#include "compnode/worker/device_boundary.hpp"
#include "compnode/worker/mailbox.hpp"
#include "compression/tensor_codec.hpp"
#include "proto/compression_setting.hpp"
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

// The rung that the setting names; kConfiguration if there is none of that name.
[[nodiscard]] proto::Result<std::optional<compression::Rung>> rung_of(
    const proto::CompressionSetting& setting);

// Encodes on one thread and decodes on another.
class BoundaryCodec {
 public:
  // `seed`: of the job; the same seed and tensors make the same bytes. No rung: nothing is
  // compressed. The rung is one that check() passes.
  BoundaryCodec(std::optional<compression::Rung> rung, std::uint64_t seed);

  [[nodiscard]] bool compresses() const { return rung_.has_value(); }

  struct Encoded {
    compression::Codec codec = compression::Codec::kDenseFp32;
    proto::Payload payload;
    std::string rung;
    compression::Distortion distortion;
  };
  // Whether tensors on this device are encoded and decoded there; others come to the CPU first.
  [[nodiscard]] bool serves(const c10::Device& device) const;

  // `tensor`: fp32 or bf16, contiguous, on the CPU or on a device that is served; the payload may
  // refer to its memory. A forward
  // of training leaves the mask for the backward that answers it; that backward goes out under the
  // mask with which the forward came. A tensor that no lossy rung can carry, one with NaN or
  // infinity, goes out dense: the step's end finds where it came from.
  [[nodiscard]] Encoded encode(const BoundaryTensor& what, const at::Tensor& tensor);

  // Fills the whole of `into`, fp32 or bf16, placed as for encode(); an error if the payload is no
  // such tensor.
  [[nodiscard]] compression::Result<void> decode(const BoundaryTensor& what,
                                                 compression::Codec codec,
                                                 std::span<const std::byte> payload,
                                                 at::Tensor& into);

 private:
  using Mask = BoundaryMask;
  // Value, stages, micro-batch.
  using MaskKey = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t>;
  class Masks {
   public:
    void put(const MaskKey& key, Mask mask);
    [[nodiscard]] Mask take(const MaskKey& key);  // empty if there is none

   private:
    std::mutex mutex_;
    std::map<MaskKey, Mask> masks_;
  };

  [[nodiscard]] static MaskKey key_of(const BoundaryTensor& what);
  [[nodiscard]] std::uint64_t random_key(const BoundaryTensor& what) const;

  std::optional<compression::Rung> rung_;
  std::uint64_t seed_;
  Masks sent_;      // of forwards that this stage sent
  Masks received_;  // of forwards that this stage received
  compression::Workspace encoding_;
  compression::Workspace decoding_;
  DeviceBoundary device_encoding_;
  DeviceBoundary device_decoding_;
};

}  // namespace longhaul::compnode
