// The header of a safetensors file: from foreign bytes to checked offsets, and back to bytes.
#pragma once

#include "compnode/files/tensor_view.hpp"
#include "proto/error.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace longhaul::compnode {

// The format's own bound on the header.
inline constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;

using Metadata = std::map<std::string, std::string>;

struct SafetensorsHeader {
  struct Entry {
    std::string name;
    Dtype dtype{};
    proto::Shape shape;
    std::uint64_t begin = 0;  // in the data section, bytes
    std::uint64_t end = 0;
  };
  Metadata metadata;           // "__metadata__"
  std::vector<Entry> entries;  // ascending by `begin`, then `end`
  std::uint64_t data_offset = 0;  // where the data section starts in the file
};

// A file is: 8 bytes little-endian header length, the header as JSON padded with spaces, the data.
// Checks all of it before anything is believed: length against the file and kMaxHeaderBytes, JSON
// with nothing but the format's own keys at their own depth, no key twice, known dtypes, shapes of
// non-negative integers whose product does not overflow, offsets that agree with them, and that
// the tensors fill the data section without overlap, gap or rest. Takes the whole file; reads no
// byte behind the header. Errors are kConfiguration and name the tensor.
[[nodiscard]] proto::Result<SafetensorsHeader> parse_safetensors_header(
    std::span<const std::byte> file);

// The bytes in front of the data section for tensors laid out one after the other in the order
// given. A function of its arguments alone; its size is a multiple of 8.
[[nodiscard]] std::string render_safetensors_header(std::span<const NamedTensor> tensors,
                                                    const Metadata& metadata);

}  // namespace longhaul::compnode
