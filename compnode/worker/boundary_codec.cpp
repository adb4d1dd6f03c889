// Keeps the masks, and turns tensors into spans.
#include "compnode/worker/boundary_codec.hpp"

#include "compnode/execution/torch.hpp"
#include "compression/finite.hpp"
#include "proto/assert.hpp"
#include "proto/checksum.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

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

// Of a mask's entries those in the first rows; the order of the rest does not matter there.
BoundaryMask positions_below(const BoundaryMask& mask, std::size_t elements) {
  if (mask.device != nullptr) return DeviceBoundary::positions_below(mask, elements);
  std::vector<std::uint32_t> kept;
  std::ranges::copy_if(mask.host.span(), std::back_inserter(kept),
                       [&](std::uint32_t position) { return position < elements; });
  BoundaryMask cut;
  std::ranges::copy(kept, cut.host.resize(kept.size()).begin());
  return cut;
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
          .distortion = {},
          .masked = false};
}

}  // namespace

void BoundaryCodec::Kept::put(const MaskKey& key, Received received) {
  const std::lock_guard lock(mutex_);
  received_.insert_or_assign(key, std::move(received));
}

BoundaryCodec::Received BoundaryCodec::Kept::take(const MaskKey& key) {
  const std::lock_guard lock(mutex_);
  auto found = received_.extract(key);
  return found.empty() ? Received() : std::move(found.mapped());
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

BoundaryCodec::Received BoundaryCodec::take_received(const BoundaryTensor& what) {
  return received_.take(key_of(what));
}

compression::Result<void> BoundaryCodec::encode_to(const at::Tensor& tensor,
                                                   const DeviceBoundary::Options& options,
                                                   const Mask* mask, compression::Encoded& out,
                                                   Mask& found) {
  if (DeviceBoundary::serves(tensor.device())) {
    return device_encoding_.encode(tensor, options, mask, out, found);
  }
  auto done = with_values(tensor, [&](auto values) {
    const auto given = std::span<const typename decltype(values)::value_type>(values).first(
        options.shape.elements());
    return mask != nullptr ? compression::encode_masked(given, options.shape, mask->host.span(),
                                                        options.rung, options.key, encoding_, out)
                           : compression::encode(given, options.shape, options.rung, options.key,
                                                 encoding_, out);
  });
  if (mask == nullptr) found.host = std::move(out.mask);
  return done;
}

BoundaryCodec::Encoded BoundaryCodec::encode(const BoundaryTensor& what, const at::Tensor& tensor,
                                             const Rung& rung, const Mask& mask) {
  const bool whole = rung.selection == Selection::kAll;
  const bool masked = what.backward && whole && !mask.empty();
  const bool lossless =
      whole &&
      (rung.format == compression::ValueFormat::kFp32 ||
       (rung.format == compression::ValueFormat::kBf16 && tensor.scalar_type() == at::kBFloat16));
  if (lossless && !masked) return dense(tensor);
  const auto encoded = std::make_shared<compression::Encoded>();
  Mask found;
  const auto done =
      encode_to(tensor, {.shape = shape_of(tensor), .rung = rung, .key = random_key(what)},
                masked ? &mask : nullptr, *encoded, found);
  if (!done) return dense(tensor);
  if (!what.backward && is_training(what) && compression::shares_mask(rung) && !found.empty()) {
    sent_.put(key_of(what), {rung, std::move(found)});
  }
  return {.codec = encoded->codec,
          .payload = {encoded->payload.span(), encoded},
          .distortion = encoded->distortion,
          .masked = masked};
}

std::optional<compression::RungSample> BoundaryCodec::try_rung(const BoundaryTensor& what,
                                                               const at::Tensor& tensor,
                                                               const Rung& rung,
                                                               const Received& answered) {
  constexpr std::size_t kRows = 256;
  compression::Shape shape = shape_of(tensor);
  shape.rows = std::min(shape.rows, kRows);
  Mask mask;
  const bool masked = what.backward && rung.selection == Selection::kAll && !answered.mask.empty();
  if (masked) {
    mask = positions_below(answered.mask, shape.elements());
    if (mask.empty()) return std::nullopt;
  }
  compression::Encoded made;
  const auto start = std::chrono::steady_clock::now();
  Mask found;
  const auto done = encode_to(tensor, {.shape = shape, .rung = rung, .key = random_key(what)},
                              masked ? &mask : nullptr, made, found);
  if (!done) return std::nullopt;
  compression::RungSample sample;
  sample.rung = rung;
  sample.entries = static_cast<double>(shape.elements());
  if (masked) sample.mask_density = answered.rung.density;
  sample.bytes = static_cast<double>(made.payload.span().size());
  sample.encode_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  sample.distortion = made.distortion;
  return sample;
}

compression::Result<void> BoundaryCodec::decode(const BoundaryTensor& what,
                                                compression::Codec codec, const Rung& rung,
                                                std::span<const std::byte> payload,
                                                at::Tensor& into) {
  Mask mask = what.backward ? sent_.take(key_of(what)).mask : Mask();
  const compression::Shape shape = shape_of(into);
  const auto done =
      DeviceBoundary::serves(into.device())
          ? device_decoding_.decode(codec, payload, shape, into, mask)
          : with_values(into, [&](auto values) {
              return compression::decode(codec, payload, shape, values, &mask.host, decoding_);
            });
  if (done && !what.backward && is_training(what)) {
    const bool shared = codec == compression::Codec::kTopK && compression::shares_mask(rung);
    received_.put(key_of(what), {rung, shared ? std::move(mask) : Mask()});
  }
  return done;
}

compression::Result<void> BoundaryCodec::check_finite(const at::Tensor& tensor) {
  if (!tensor.device().is_cpu()) {
    if (at::isfinite(tensor).all().item<bool>()) return {};
    return check_finite(tensor.to(at::kCPU));
  }
  return with_values(tensor, [&](auto values) {
    const auto given = std::span<const typename decltype(values)::value_type>(values);
    return compression::check_finite(given, shape_of(tensor).columns);
  });
}

void BoundaryCodec::note_dense(const BoundaryTensor& what, const Rung& rung) {
  if (what.backward || !is_training(what)) return;
  received_.put(key_of(what), {rung, Mask()});
}

}  // namespace longhaul::compnode
