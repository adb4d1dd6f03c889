// Mask order, and the one writer and the one reader of index sections.
#include "compression/mask_indices.hpp"

#include "compression/bit_stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

namespace longhaul::compression {
namespace {

constexpr std::size_t kTileRows = 1024;
constexpr std::size_t kGroup = 2048;
constexpr std::size_t kFineGroup = 64;
constexpr unsigned kLargestParameter = 62;

constexpr std::size_t pieces(std::size_t count, std::size_t size) {
  return (count + size - 1) / size;
}

// The divisor M: 2^shift, or 3 * 2^shift.
struct Golomb {
  unsigned shift = 0;
  bool three = false;

  explicit constexpr Golomb(unsigned parameter)
      : shift(parameter == 0       ? 0
              : parameter % 2 == 1 ? (parameter + 1) / 2
                                   : parameter / 2 - 1),
        three(parameter != 0 && parameter % 2 == 0) {}

  [[nodiscard]] constexpr std::uint64_t divisor() const {
    return (three ? std::uint64_t{3} : std::uint64_t{1}) << shift;
  }
};

// format.md: up to which mean a divisor is the right one.
unsigned parameter_for(std::uint64_t sum, std::size_t count) {
  const std::uint64_t mean = 128 * (2 * sum + count);
  for (unsigned parameter = 0; parameter < kLargestParameter; ++parameter) {
    const Golomb golomb(parameter);
    const std::uint64_t factor = parameter == 0 ? 542 : golomb.three ? 428 : 455;
    if (mean < factor * golomb.divisor() * count) return parameter;
  }
  return kLargestParameter;
}

std::uint64_t bits_of(std::span<const std::uint32_t> gaps, Golomb golomb) {
  std::uint64_t bits = gaps.size() * (1 + golomb.shift);
  if (!golomb.three) {
    for (const std::uint32_t gap : gaps) bits += gap >> golomb.shift;
    return bits;
  }
  for (const std::uint32_t gap : gaps) {
    const std::uint32_t part = gap >> golomb.shift;
    const std::uint32_t quotient = part / 3;
    bits += quotient + (part == quotient * 3 ? 1 : 2);
  }
  return bits;
}

void put_gap(BitWriter& writer, std::uint32_t gap, Golomb golomb) {
  const std::uint32_t part = gap >> golomb.shift;
  std::uint32_t quotient = golomb.three ? part / 3 : part;
  const std::uint32_t third = part - 3 * quotient;  // of meaning only if three
  while (quotient >= 24) {
    writer.put(0, 24);
    quotient -= 24;
  }
  writer.put(std::uint64_t{1} << quotient, quotient + 1);
  if (golomb.three) writer.put(third == 0 ? 0 : third == 1 ? 1 : 3, third == 0 ? 1 : 2);
  writer.put(gap & ((std::uint32_t{1} << golomb.shift) - 1), golomb.shift);
}

bool read_gap(BitReader& reader, Golomb golomb, std::uint64_t& gap) {
  std::uint64_t quotient = 0;
  if (!reader.read_unary(quotient)) return false;
  reader.refill();
  gap = quotient * golomb.divisor();
  if (golomb.three) {
    const unsigned third = static_cast<unsigned>(reader.peek() & 3);
    const unsigned width = third % 2 == 0 ? 1 : 2;
    if (reader.have() < width) return false;
    reader.skip(width);
    gap += std::uint64_t{third % 2 == 0 ? 0 : third == 1 ? 1U : 2U} << golomb.shift;
  }
  if (reader.have() < golomb.shift) return false;
  gap += reader.peek() & ((std::uint64_t{1} << golomb.shift) - 1);
  reader.skip(golomb.shift);
  return true;
}

// Bytes of the section without its padding; fills parameters and group lengths.
std::size_t plan_with(std::span<const std::uint32_t> gaps, std::size_t subgroup,
                      std::span<std::uint8_t> parameters, std::span<std::uint16_t> group_bytes) {
  std::size_t total = parameters.size() + 2 * group_bytes.size();
  for (std::size_t group = 0; group < group_bytes.size(); ++group) {
    std::uint64_t bits = 0;
    const std::size_t end = std::min((group + 1) * kGroup, gaps.size());
    for (std::size_t begin = group * kGroup; begin < end; begin += subgroup) {
      const auto part = gaps.subspan(begin, std::min(subgroup, end - begin));
      const std::uint64_t sum = std::accumulate(part.begin(), part.end(), std::uint64_t{0});
      const unsigned parameter = parameter_for(sum, part.size());
      parameters[begin / subgroup] = static_cast<std::uint8_t>(parameter);
      bits += bits_of(part, Golomb(parameter));
    }
    group_bytes[group] = static_cast<std::uint16_t>((bits + 7) / 8);
    total += group_bytes[group];
  }
  return total;
}

// A place in mask order to the row-major position.
class PlaceToPosition {
 public:
  explicit PlaceToPosition(Shape shape) : shape_(shape) { enter(0); }

  std::uint32_t operator()(std::uint64_t place) {
    if (shape_.rows == 1) return static_cast<std::uint32_t>(place);
    if (place >= tile_end_) enter(place / (kTileRows * shape_.columns));
    const auto inside = static_cast<std::uint32_t>(place - tile_begin_);
    const std::uint32_t column = inside / height_;
    const std::uint32_t row = inside - column * height_;
    return static_cast<std::uint32_t>(tile_begin_ + row * shape_.columns + column);
  }

 private:
  void enter(std::size_t tile) {
    tile_begin_ = tile * kTileRows * shape_.columns;
    height_ = static_cast<std::uint32_t>(std::min(kTileRows, shape_.rows - tile * kTileRows));
    tile_end_ = tile_begin_ + height_ * shape_.columns;
  }

  Shape shape_;
  std::uint64_t tile_begin_ = 0;
  std::uint64_t tile_end_ = 0;
  std::uint32_t height_ = 1;
};

}  // namespace

void to_mask_order(std::span<const std::uint32_t> kept, Shape shape, Buffer<std::uint32_t>& counts,
                   std::span<std::uint32_t> mask, std::span<std::uint32_t> places) {
  if (shape.rows == 1) {
    std::ranges::copy(kept, mask.begin());
    std::ranges::copy(kept, places.begin());
    return;
  }
  const std::size_t columns = shape.columns;
  const auto next = counts.resize(columns);
  std::size_t first = 0;
  for (std::size_t tile = 0; first < kept.size(); ++tile) {
    const std::size_t begin = tile * kTileRows * columns;
    const std::size_t height = std::min(kTileRows, shape.rows - tile * kTileRows);
    const std::size_t end = begin + height * columns;
    std::ranges::fill(next, 0);
    std::size_t last = first;
    for (std::size_t row_begin = begin; last < kept.size() && kept[last] < end; ++last) {
      while (kept[last] >= row_begin + columns) row_begin += columns;
      ++next[kept[last] - row_begin];
    }
    auto sum = static_cast<std::uint32_t>(first);
    for (std::uint32_t& count : next) sum += std::exchange(count, sum);
    std::size_t row_begin = begin;
    std::size_t row = 0;
    for (; first < last; ++first) {
      for (; kept[first] >= row_begin + columns; ++row) row_begin += columns;
      const std::size_t column = kept[first] - row_begin;
      const std::uint32_t at = next[column]++;
      mask[at] = kept[first];
      places[at] = static_cast<std::uint32_t>(begin + column * height + row);
    }
  }
}

IndexPlan plan_index_section(std::span<std::uint32_t> places, Buffer<std::uint8_t>& parameters,
                             Buffer<std::uint16_t>& group_bytes) {
  std::uint32_t expected = 0;
  for (std::uint32_t& place : places) {
    const std::uint32_t gap = place - expected;
    expected = place + 1;
    place = gap;
  }
  const std::size_t count = places.size();
  const auto groups = group_bytes.resize(pieces(count, kGroup));
  const std::size_t coarse =
      plan_with(places, kGroup, parameters.resize(pieces(count, kGroup)), groups);
  std::size_t bytes =
      plan_with(places, kFineGroup, parameters.resize(pieces(count, kFineGroup)), groups);
  const bool fine = bytes < coarse;
  if (!fine) {
    bytes = plan_with(places, kGroup, parameters.resize(pieces(count, kGroup)), groups);
  }
  return {.fine = fine, .bytes = (bytes + 3) / 4 * 4};
}

void write_index_section(std::span<const std::uint32_t> gaps, const IndexPlan& plan,
                         std::span<const std::uint8_t> parameters,
                         std::span<const std::uint16_t> group_bytes, std::byte* to) {
  std::byte* const begin = to;
  const std::size_t subgroup = plan.fine ? kFineGroup : kGroup;
  copy_bytes(to, parameters.data(), parameters.size());
  to += parameters.size();
  copy_bytes(to, group_bytes.data(), group_bytes.size_bytes());
  to += group_bytes.size_bytes();
  for (std::size_t group = 0; group < group_bytes.size(); ++group) {
    BitWriter writer(to);
    const std::size_t end = std::min((group + 1) * kGroup, gaps.size());
    for (std::size_t i = group * kGroup; i < end; i += subgroup) {
      const Golomb golomb(parameters[i / subgroup]);
      for (const std::uint32_t gap : gaps.subspan(i, std::min(subgroup, end - i))) {
        put_gap(writer, gap, golomb);
      }
    }
    to = writer.finish();
  }
  std::fill(to, begin + plan.bytes, std::byte{0});
}

Result<void> read_index_section(std::span<const std::byte> section, bool fine, Shape shape,
                                std::span<std::uint32_t> mask) {
  const std::size_t count = mask.size();
  const std::size_t subgroup = fine ? kFineGroup : kGroup;
  const std::size_t groups = pieces(count, kGroup);
  const std::size_t head = pieces(count, subgroup) + 2 * groups;
  if (section.size() < head) {
    return Error{fmt::format("index section has {} bytes, less than its header", section.size())};
  }
  const std::byte* const parameters = section.data();
  const std::byte* const lengths = parameters + pieces(count, subgroup);
  auto rest = section.subspan(head);
  PlaceToPosition position(count == 0 ? Shape{1, 0} : shape);
  std::uint64_t next = 0;  // the lowest place that the next entry may have
  for (std::size_t group = 0; group < groups; ++group) {
    std::uint16_t length = 0;
    std::memcpy(&length, lengths + 2 * group, 2);
    if (length > rest.size()) return Error{"a group of the index section is cut off"};
    BitReader reader(rest.first(length));
    rest = rest.subspan(length);
    const std::size_t end = std::min((group + 1) * kGroup, count);
    for (std::size_t i = group * kGroup; i < end;) {
      const auto parameter = std::to_integer<unsigned>(parameters[i / subgroup]);
      if (parameter > kLargestParameter) {
        return Error{fmt::format("Golomb parameter {} is above {}", parameter, kLargestParameter)};
      }
      const Golomb golomb(parameter);
      for (const std::size_t stop = std::min(i + subgroup, end); i < stop; ++i) {
        std::uint64_t gap = 0;
        if (!read_gap(reader, golomb, gap)) return Error{"a group of the index section is short"};
        const std::uint64_t place = next + gap;
        if (place >= shape.elements()) {
          return Error{fmt::format("entry {} is outside the tensor", i)};
        }
        mask[i] = position(place);
        next = place + 1;
      }
    }
    if (!reader.at_end()) return Error{"a group of the index section is longer than its codes"};
  }
  if (rest.size() > 3) return Error{"the index section has bytes after its last group"};
  return {};
}

}  // namespace longhaul::compression
