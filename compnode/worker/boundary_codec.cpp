// Picks the rung, keeps the masks, and turns tensors into spans.
#include "compnode/worker/boundary_codec.hpp"

#include "compnode/execution/torch.hpp"
#include "proto/assert.hpp"
#include "proto/checksum.hpp"

#include <array>
#include <cmath>
#include <memory>
#include <utility>

namespace longhaul::compnode {
namespace {

using compression::Bf16;
using compression::Rung;
using compression::Selection;

static_assert(sizeof(Bf16) == sizeof(at::BFloat16));

compression::Shape shape_of(const at::Tensor& tensor) {
  const auto columns = static_cast<std::size_t>(tensor.size(-1));
  return {.rows = static_cast<std::size_t>(tensor.numel()) / columns, .columns = columns};
}

// Calls `body` with the tensor's values as a span of float or Bf16.
template <class Body>
auto with_values(const at::Tensor& tensor, Body body) {
  LONGHAUL_ASSERT(tensor.is_contiguous() && tensor.device().is_cpu());
  const auto count = static_cast<std::size_t>(tensor.numel());
  if (tensor.scalar_type() == at::kFloat) {
    return body(std::span(static_cast<float*>(tensor.data_ptr()), count));
  }
  LONGHAUL_ASSERT(tensor.scalar_type() == at::kBFloat16);
  return body(std::span(static_cast<Bf16*>(tensor.data_ptr()), count));
}

bool is_training(const BoundaryTensor& what) {
  return what.moment.phase == wire::TensorHeader::TRAINING;
}

BoundaryCodec::Encoded dense(const at::Tensor& tensor) {
  const auto owner = std::make_shared<at::Tensor>(tensor.to(at::kCPU));
  const bool fp32 = tensor.scalar_type() == at::kFloat;
  const auto* bytes = static_cast<const std::byte*>(owner->data_ptr());
  return {.codec = fp32 ? compression::Codec::kDenseFp32 : compression::Codec::kDenseBf16,
          .payload = {{bytes, owner->nbytes()}, owner},
          .rung = fp32 ? "fp32" : "bf16",
          .distortion = {}};
}

}  // namespace

proto::Result<std::optional<Rung>> rung_of(const proto::CompressionSetting& setting) {
  using enum proto::CompressionSetting::Mode;
  switch (setting.mode) {
    case kDense:
      return std::optional<Rung>();
    case kFixed: {
      const auto rung = compression::parse_rung(setting.rung);
      if (!rung) return proto::configuration_error("compression: " + rung.error().message);
      return std::optional(*rung);
    }
    case kUniformTopK: {
      Rung rung;
      rung.selection = Selection::kIndexed;
      rung.own_mask = true;
      rung.density = static_cast<std::uint32_t>(
          std::lround(static_cast<double>(compression::kWholeDensity) / setting.ratio));
      return std::optional(rung);
    }
  }
  LONGHAUL_ASSERT(false);
  return std::optional<Rung>();
}

BoundaryCodec::BoundaryCodec(std::optional<Rung> rung, std::uint64_t seed)
    : rung_(rung), seed_(seed) {}

void BoundaryCodec::Masks::put(const MaskKey& key, Mask mask) {
  const std::lock_guard lock(mutex_);
  masks_.insert_or_assign(key, std::move(mask));
}

BoundaryCodec::Mask BoundaryCodec::Masks::take(const MaskKey& key) {
  const std::lock_guard lock(mutex_);
  auto found = masks_.extract(key);
  return found.empty() ? Mask() : std::move(found.mapped());
}

BoundaryCodec::MaskKey BoundaryCodec::key_of(const BoundaryTensor& what) {
  return {what.value.value, what.from.value, what.to.value, what.moment.micro_batch.value};
}

std::uint64_t BoundaryCodec::random_key(const BoundaryTensor& what) const {
  const std::array<std::uint64_t, 8> parts{seed_,
                                           static_cast<std::uint64_t>(what.moment.phase),
                                           what.moment.step,
                                           what.moment.micro_batch.value,
                                           what.value.value,
                                           what.from.value,
                                           what.to.value,
                                           what.backward ? 1u : 0u};
  return proto::checksum(std::as_bytes(std::span(parts)));
}

bool BoundaryCodec::serves(const at::Device& device) const {
  return compresses() && DeviceBoundary::serves(device);
}

BoundaryCodec::Encoded BoundaryCodec::encode(const BoundaryTensor& what, const at::Tensor& tensor) {
  if (!rung_ || what.moment.phase == wire::TensorHeader::EVALUATION_DENSE) return dense(tensor);
  const auto encoded = std::make_shared<compression::Encoded>();
  const compression::Shape shape = shape_of(tensor);
  const std::uint64_t key = random_key(what);
  const bool shares_mask = rung_->selection != Selection::kAll && !rung_->own_mask;
  Mask mask = what.backward && shares_mask ? received_.take(key_of(what)) : Mask();
  const Rung rung = what.backward && shares_mask ? compression::masked_values_of(*rung_) : *rung_;
  const auto done =
      serves(tensor.device())
          ? device_encoding_.encode(tensor, {.shape = shape, .rung = rung, .key = key}, mask,
                                    *encoded)
          : with_values(tensor, [&](auto values) {
              const std::span<const typename decltype(values)::value_type> given = values;
              return mask.empty()
                         ? compression::encode(given, shape, rung, key, encoding_, *encoded)
                         : compression::encode_masked(given, shape, mask.host.span(), rung, key,
                                                      encoding_, *encoded);
            });
  if (!done) return dense(tensor);
  if (!encoded->mask.empty()) mask.host = std::move(encoded->mask);
  if (!what.backward && is_training(what) && shares_mask && !mask.empty()) {
    sent_.put(key_of(what), std::move(mask));
  }
  return {.codec = encoded->codec,
          .payload = {encoded->payload.span(), encoded},
          .rung = compression::name(rung),
          .distortion = encoded->distortion};
}

compression::Result<void> BoundaryCodec::decode(const BoundaryTensor& what,
                                                compression::Codec codec,
                                                std::span<const std::byte> payload,
                                                at::Tensor& into) {
  Mask mask = what.backward ? sent_.take(key_of(what)) : Mask();
  const compression::Shape shape = shape_of(into);
  const auto done =
      serves(into.device())
          ? device_decoding_.decode(codec, payload, shape, into, mask)
          : with_values(into, [&](auto values) {
              return compression::decode(codec, payload, shape, values, &mask.host, decoding_);
            });
  if (done && !what.backward && is_training(what) && codec == compression::Codec::kTopK) {
    received_.put(key_of(what), std::move(mask));
  }
  return done;
}

}  // namespace longhaul::compnode
