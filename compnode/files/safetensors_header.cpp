// Relates the parts of a safetensors header to each other and to the size of the file.
#include "compnode/files/safetensors_header.hpp"

#include "compnode/files/safetensors_json.hpp"
#include "proto/assert.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstring>
#include <optional>
#include <tuple>
#include <utility>

namespace longhaul::compnode {
namespace {

constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kAlignment = 8;

proto::Error bad_tensor(const SafetensorsHeader::Entry& entry, std::string_view reason) {
  return proto::configuration_error(
      fmt::format("tensor {}: {}", proto::quoted(entry.name), reason));
}

// Empty where a product over the shape leaves 63 bits, even if another extent is 0: whoever
// multiplies the extents later need not look out.
std::optional<std::uint64_t> shape_bits(const proto::Shape& shape, std::uint32_t element_bits) {
  std::int64_t bits = element_bits;
  bool empty = false;
  for (const std::int64_t extent : shape) {
    empty = empty || extent == 0;
    if (__builtin_mul_overflow(bits, std::max<std::int64_t>(extent, 1), &bits)) return std::nullopt;
  }
  return empty ? 0 : static_cast<std::uint64_t>(bits);
}

proto::Result<void> check_size(const SafetensorsHeader::Entry& entry) {
  const auto bits = shape_bits(entry.shape, dtype_bits(entry.dtype));
  if (!bits) return bad_tensor(entry, "shape " + shape_text(entry.shape) + " is out of range");
  if (entry.begin > entry.end || *bits % 8 != 0 || entry.end - entry.begin != *bits / 8) {
    return bad_tensor(
        entry, fmt::format("data_offsets {} to {} do not fit {} {}, which takes {} bytes",
                           entry.begin, entry.end, dtype_name(entry.dtype),
                           shape_text(entry.shape), *bits / 8));
  }
  return {};
}

// The tensors fill [0, data_bytes) without overlap or gap.
proto::Result<void> check_layout(const std::vector<SafetensorsHeader::Entry>& entries,
                                 std::uint64_t data_bytes) {
  std::uint64_t filled = 0;
  for (const auto& entry : entries) {
    if (const auto size = check_size(entry); !size) return size.error();
    if (entry.begin < filled) {
      return bad_tensor(entry, fmt::format("overlaps the tensor before it: it begins at byte {}, "
                                           "which is taken up to {}", entry.begin, filled));
    }
    if (entry.begin > filled) {
      return bad_tensor(entry, fmt::format("bytes {} to {} before it belong to no tensor", filled,
                                           entry.begin));
    }
    if (entry.end > data_bytes) {
      return bad_tensor(entry, fmt::format("it ends at byte {}, but the file holds {} bytes of "
                                           "data: it is cut short; fetch it again",
                                           entry.end, data_bytes));
    }
    filled = entry.end;
  }
  if (filled != data_bytes) {
    return proto::configuration_error(fmt::format(
        "the last {} bytes belong to no tensor: the file is damaged; fetch it again",
        data_bytes - filled));
  }
  return {};
}

}  // namespace

proto::Result<SafetensorsHeader> parse_safetensors_header(std::span<const std::byte> file) {
  if (file.size() < kLengthBytes) {
    return proto::configuration_error(
        fmt::format("{} bytes are no safetensors file: it is empty or cut short", file.size()));
  }
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), kLengthBytes);
  if (length > kMaxHeaderBytes) {
    return proto::configuration_error(
        fmt::format("the header claims {} bytes, more than the {} that the format allows: "
                    "not a safetensors file", length, kMaxHeaderBytes));
  }
  if (length > file.size() - kLengthBytes) {
    return proto::configuration_error(
        fmt::format("the header claims {} bytes, but the file has {} in all: it is cut short",
                    length, file.size()));
  }
  const std::string_view json(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  if (!json.starts_with('{')) {
    return proto::configuration_error("the header does not begin with '{': not a safetensors file");
  }
  auto header = parse_header_json(json);
  if (!header) return header;
  header->data_offset = kLengthBytes + length;
  std::ranges::sort(header->entries, {}, [](const SafetensorsHeader::Entry& entry) {
    return std::tuple(entry.begin, entry.end, std::string_view(entry.name));
  });
  const auto layout = check_layout(header->entries, file.size() - header->data_offset);
  if (!layout) return layout.error();
  return header;
}

std::string render_safetensors_header(std::span<const NamedTensor> tensors,
                                      const Metadata& metadata) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (!metadata.empty()) json["__metadata__"] = metadata;
  std::string text = json.dump();
  text.pop_back();
  std::uint64_t offset = 0;
  // Appended by hand: ordered_json looks a key up by going through all of them.
  for (const NamedTensor& tensor : tensors) {
    const std::uint64_t end = offset + byte_count(tensor.view);
    text += fmt::format("{}{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                        text.size() > 1 ? "," : "", nlohmann::json(tensor.name).dump(),
                        dtype_name(tensor.view.dtype), fmt::join(tensor.view.shape, ","), offset,
                        end);
    offset = end;
  }
  text += '}';
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  LONGHAUL_ASSERT(text.size() <= kMaxHeaderBytes);
  const std::uint64_t length = text.size();
  std::string bytes(kLengthBytes, '\0');
  std::memcpy(bytes.data(), &length, kLengthBytes);
  return bytes + text;
}

}  // namespace longhaul::compnode
