// Checks what a peer says about a message before anybody believes it.
#include "proto/channel/tensor_frames.hpp"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>

namespace longhaul::proto {
namespace {

constexpr int kMaxExtents = 8;
constexpr std::size_t kMaxNameBytes = 512;

Error refused(std::string what) {
  return {ErrorKind::kInternal, "tensor header refused: " + std::move(what)};
}

// 0 for a type that is not known.
std::int64_t element_bytes(wire::ElementType type) {
  switch (type) {
    case wire::FLOAT32:
      return 4;
    case wire::BFLOAT16:
      return 2;
    case wire::INT64:
    case wire::FLOAT64:
      return 8;
    case wire::ELEMENT_UNSPECIFIED:
    case wire::ElementType_INT_MIN_SENTINEL_DO_NOT_USE_:
    case wire::ElementType_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return 0;
}

Result<void> check_extents(const wire::TensorHeader& header) {
  const std::int64_t width = element_bytes(header.element_type());
  if (width == 0) {
    return refused(
        fmt::format("element type {} is unknown", static_cast<int>(header.element_type())));
  }
  if (header.shape_size() > kMaxExtents) {
    return refused(
        fmt::format("{} extents; at most {} are taken", header.shape_size(), kMaxExtents));
  }
  auto room = static_cast<std::int64_t>(kMaxTensorPayloadBytes) / width;
  for (const std::int64_t extent : header.shape()) {
    if (extent <= 0) return refused(fmt::format("extent {} is not positive", extent));
    room /= extent;
    if (room == 0) {
      return refused(fmt::format("its shape needs more than {} bytes", kMaxTensorPayloadBytes));
    }
  }
  return {};
}

}  // namespace

Result<wire::LinkFrame> link_frame_from_wire(std::span<const std::byte> bytes) {
  if (bytes.size() > kMaxTensorHeaderBytes) {
    return refused(
        fmt::format("{} bytes; at most {} are taken", bytes.size(), kMaxTensorHeaderBytes));
  }
  const google::protobuf::LogSilencer quiet;  // a peer must not be able to fill the log
  wire::LinkFrame frame;
  if (!frame.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return refused(fmt::format("{} bytes that are no LinkFrame", bytes.size()));
  }
  return frame;
}

bool sound_times(const wire::LinkFrame& frame) {
  constexpr std::int64_t kMost = std::int64_t{1} << 55;
  const auto sound = [](std::int64_t time) { return time > -kMost && time < kMost; };
  const wire::LinkStatus& status = frame.status();
  return sound(frame.sent_us()) && sound(status.echo_us()) && sound(status.echo_age_us()) &&
         sound(status.least_transit_us()) &&
         std::ranges::all_of(status.lanes(), [&](const auto& lane) {
           return lane.arrivals_us_size() <= 4096 && std::ranges::all_of(lane.arrivals_us(), sound);
         });
}

Result<void> check_tensor_header(const wire::TensorHeader& header) {
  if (header.name().size() > kMaxNameBytes) {
    return refused(
        fmt::format("name of {} bytes; at most {} are taken", header.name().size(), kMaxNameBytes));
  }
  if (!wire::TensorHeader::Phase_IsValid(header.phase())) {
    return refused(fmt::format("phase {} is unknown", static_cast<int>(header.phase())));
  }
  switch (header.kind()) {
    case wire::TensorHeader::ACTIVATION:
    case wire::TensorHeader::GRADIENT:
    case wire::TensorHeader::DATA:
    case wire::TensorHeader::TIED_GRADIENT:
    case wire::TensorHeader::STEP_NORMS:
    case wire::TensorHeader::PARAMETER:
    case wire::TensorHeader::EVALUATED:
      return check_extents(header);
    case wire::TensorHeader::UNSPECIFIED:
    case wire::TensorHeader_Kind_TensorHeader_Kind_INT_MIN_SENTINEL_DO_NOT_USE_:
    case wire::TensorHeader_Kind_TensorHeader_Kind_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return refused(fmt::format("kind {} is unknown", static_cast<int>(header.kind())));
}

}  // namespace longhaul::proto
