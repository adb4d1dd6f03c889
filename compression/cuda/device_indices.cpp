// Index sections on a device: the plan there, the choice of parameters on the host, then the bits.
#include "compression/cuda/device_section.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace longhaul::compression::cuda {

PreparedIndices prepare_indices(In<uint32_t> places, std::size_t count, DeviceMemory& memory) {
  const std::size_t groups = pieces_of(count, kGolombGroup);
  const std::size_t fine_parts = pieces_of(count, kGolombFine);
  plan_golomb({.places = places,
               .count = static_cast<uint32_t>(count),
               .coarse = memory.coarse.resize(groups),
               .fine = memory.fine.resize(fine_parts),
               .coarse_bytes = memory.coarse_bytes.resize(groups),
               .fine_bytes = memory.fine_bytes.resize(groups)});
  prefix_sums(memory.coarse_bytes.in(), groups, memory.chunk_sums,
              memory.coarse_offsets.resize(groups + 1));
  prefix_sums(memory.fine_bytes.in(), groups, memory.chunk_sums,
              memory.fine_offsets.resize(groups + 1));
  const std::size_t coarse = memory.coarse_offsets.at(groups);
  const std::size_t fine = memory.fine_offsets.at(groups);
  PreparedIndices prepared{.fine = fine_parts + fine < groups + coarse};
  prepared.bit_bytes = prepared.fine ? fine : coarse;
  const std::size_t parameters = prepared.fine ? fine_parts : groups;
  prepared.bytes = (parameters + 2 * groups + prepared.bit_bytes + 3) / 4 * 4;
  return prepared;
}

void copy_indices(const PreparedIndices& prepared, In<uint32_t> places, std::size_t count,
                  DeviceMemory& memory, std::byte* to) {
  const std::size_t words = pieces_of(prepared.bit_bytes, 4);
  fill(memory.index_bits.resize(words), words, 0);
  const DeviceBuffer<uint8_t>& parameters = prepared.fine ? memory.fine : memory.coarse;
  const DeviceBuffer<uint32_t>& sizes = prepared.fine ? memory.fine_bytes : memory.coarse_bytes;
  const DeviceBuffer<uint64_t>& offsets =
      prepared.fine ? memory.fine_offsets : memory.coarse_offsets;
  write_golomb({.places = places,
                .count = static_cast<uint32_t>(count),
                .subgroup = static_cast<uint32_t>(prepared.fine ? kGolombFine : kGolombGroup),
                .parameters = parameters.in(),
                .offsets = offsets.in(),
                .words = memory.index_bits.out()});
  std::byte* const begin = to;
  parameters.download_to({reinterpret_cast<uint8_t*>(to), parameters.size()});
  to += parameters.size();
  std::vector<uint32_t> group_bytes(sizes.size());
  sizes.download_to(group_bytes);
  for (const uint32_t bytes : group_bytes) {
    const auto narrow = static_cast<uint16_t>(bytes);
    std::memcpy(to, &narrow, 2);
    to += 2;
  }
  download_bytes(memory.index_bits.in(), {to, prepared.bit_bytes});
  std::fill(to + prepared.bit_bytes, begin + prepared.bytes, std::byte{0});
}

Result<void> read_indices(std::span<const std::byte> section, bool fine, Shape shape,
                          std::size_t count, DeviceMemory& memory, Out<uint32_t> mask) {
  const std::size_t subgroup = fine ? kGolombFine : kGolombGroup;
  const std::size_t groups = pieces_of(count, kGolombGroup);
  const std::size_t parts = pieces_of(count, subgroup);
  const std::size_t head = parts + 2 * groups;
  if (section.size() < head) {
    return Error{fmt::format("index section has {} bytes, less than its header", section.size())};
  }
  std::vector<uint64_t> offsets(groups + 1);
  for (std::size_t group = 0; group < groups; ++group) {
    uint16_t bytes = 0;
    std::memcpy(&bytes, section.data() + parts + 2 * group, 2);
    offsets[group + 1] = offsets[group] + bytes;
  }
  const auto body = section.subspan(head);
  if (offsets.back() > body.size()) return Error{"a group of the index section is cut off"};
  if (body.size() - offsets.back() > 3) {
    return Error{"the index section has bytes after its last group"};
  }
  const auto* const parameters = reinterpret_cast<const uint8_t*>(section.data());
  expect_no_refusal(memory);
  const GolombReader reader{.parameters = memory.fine.assign({parameters, parts}),
                            .count = static_cast<uint32_t>(count),
                            .subgroup = static_cast<uint32_t>(subgroup),
                            .offsets = memory.fine_offsets.assign(offsets),
                            .words = memory.index_bits.assign_bytes(body.first(offsets.back())),
                            .rows = static_cast<uint32_t>(shape.rows),
                            .columns = static_cast<uint32_t>(shape.columns),
                            .steps = memory.steps.resize(in_fours(count)),
                            .mask = mask,
                            .refused = memory.refused.out()};
  read_golomb(reader);
  if (const uint32_t group = first_refusal(memory); group != kNoPosition) {
    return Error{fmt::format("group {} of the index section is not what its codes are", group)};
  }
  prefix_sums(memory.steps.in(), count, memory.chunk_sums, memory.step_sums.resize(count + 1));
  places_to_positions(reader, memory.step_sums.in());
  if (const uint32_t entry = first_refusal(memory); entry != kNoPosition) {
    return Error{fmt::format("entry {} is outside the tensor", entry)};
  }
  return {};
}

}  // namespace longhaul::compression::cuda
