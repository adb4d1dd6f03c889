// Which headers a worker takes from another.
#include "proto/channel/tensor_frames.hpp"
#include "proto/checksum.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::proto {
namespace {

TEST_CASE("checksum: XXH3-64 with seed 0, also in parts") {
  CHECK(checksum({}) == 0x2d06800538d394c2u);  // published test vector of the empty input
  const std::vector<std::byte> bytes(1000, std::byte{0x5a});
  Checksum parts;
  parts.add(std::span(bytes).first(333));
  parts.add(std::span(bytes).subspan(333));
  CHECK(parts.value() == checksum(bytes));
}

TEST_CASE("payload memory: comes back, and is given out again for the same size") {
  PayloadMemory memory;
  auto first = memory.take(1 << 20);
  const std::byte* where = first.get();
  CHECK(reinterpret_cast<std::uintptr_t>(where) % 64 == 0);
  auto second = memory.take(1 << 20);
  CHECK(second.get() != where);
  first.reset();
  CHECK(memory.take(2 << 20).get() != where);
  first = memory.take(1 << 20);
  CHECK(first.get() == where);
  { const PayloadMemory gone = std::move(memory); }
  second.reset();  // after the memory is gone
}

wire::TensorHeader activation() {
  wire::TensorHeader header;
  header.set_kind(wire::TensorHeader::ACTIVATION);
  header.set_element_type(wire::FLOAT32);
  header.set_name("h.3.add");
  for (const int extent : {4, 256, 768}) header.add_shape(extent);
  return header;
}

Result<wire::LinkFrame> parse(const std::string& bytes) {
  return link_frame_from_wire({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()});
}

Result<void> with(const std::function<void(wire::TensorHeader&)>& change) {
  wire::TensorHeader header = activation();
  change(header);
  return check_tensor_header(header);
}

wire::LinkFrame frame_of(const wire::TensorHeader& header) {
  wire::LinkFrame frame;
  *frame.mutable_fragments()->add_fragments()->mutable_header() = header;
  return frame;
}

TEST_CASE("tensor_header: a sound header is taken, and comes through a frame unchanged") {
  CHECK(with([](auto&) {}).has_value());
  const auto parsed = parse(frame_of(activation()).SerializeAsString());
  REQUIRE(parsed.has_value());
  REQUIRE(parsed.value().fragments().fragments_size() == 1);
  CHECK(parsed.value().fragments().fragments(0).header().SerializeAsString() ==
        activation().SerializeAsString());
}

TEST_CASE("tensor_header: a frame and the piece inside it come apart again") {
  const wire::LinkFrame frame = frame_of(activation());
  const std::vector<std::byte> bytes(1000, std::byte{0x5a});
  for (const std::size_t size : {0u, 1u, 1000u}) {
    const Payload piece{std::span(bytes).first(size), nullptr};
    const zmq::message_t message = link_frame(frame, &piece);
    const auto parts = parts_of({message.data<std::byte>(), message.size()});
    REQUIRE(parts.has_value());
    CHECK(parts.value().piece.size() == size);
    CHECK((size == 0 || reinterpret_cast<std::uintptr_t>(parts.value().piece.data()) % 8 == 0));
    CHECK(link_frame_from_wire(parts.value().link_frame).value().SerializeAsString() ==
          frame.SerializeAsString());
    CHECK(parts_of({message.data<std::byte>(), 3}).has_error());
  }
}

TEST_CASE("tensor_header: a tensor needs a type") {
  CHECK(with([](auto& h) { h.clear_element_type(); }).has_error());
  CHECK(with([](auto& h) { h.clear_shape(); }).has_value());  // a scalar
}

TEST_CASE("tensor_header: unknown kinds and element types are refused") {
  for (const int number :
       {0, wire::TensorHeader::Kind_MAX + 1, -1, 1000, std::numeric_limits<int>::max()}) {
    CAPTURE(number);
    CHECK(with([&](auto& h) {
            h.set_kind(static_cast<wire::TensorHeader::Kind>(number));
          }).has_error());
  }
  for (const int number :
       {0, wire::ElementType_MAX + 1, -1, 1000, std::numeric_limits<int>::min()}) {
    CAPTURE(number);
    CHECK(with([&](auto& h) {
            h.set_element_type(static_cast<wire::ElementType>(number));
          }).has_error());
  }
}

TEST_CASE("tensor_header: extents are positive, at most eight, and their product is bounded") {
  constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();
  CHECK(with([](auto& h) { h.add_shape(0); }).has_error());
  CHECK(with([](auto& h) { h.add_shape(-1); }).has_error());
  CHECK(with([](auto& h) { h.set_shape(0, kLargest); }).has_error());
  CHECK(with([](auto& h) {
          for (int i = 0; i < 3; ++i) h.set_shape(i, kLargest);  // overflows if multiplied
        }).has_error());
  CHECK(with([](auto& h) {
          for (int i = 0; i < 5; ++i) h.add_shape(1);
        }).has_value());
  CHECK(with([](auto& h) {
          for (int i = 0; i < 6; ++i) h.add_shape(1);
        }).has_error());
  constexpr std::int64_t kFloats = kMaxTensorPayloadBytes / 4;
  CHECK(with([](auto& h) { h.clear_shape(), h.add_shape(kFloats); }).has_value());
  CHECK(with([](auto& h) { h.clear_shape(), h.add_shape(kFloats + 1); }).has_error());
}

TEST_CASE("tensor_header: a phase is known") {
  CHECK(with([](auto& h) { h.set_phase(wire::TensorHeader::DIAGNOSIS); }).has_value());
  CHECK(with([](auto& h) {
          h.set_phase(static_cast<wire::TensorHeader::Phase>(wire::TensorHeader::Phase_MAX + 1));
        }).has_error());
}

TEST_CASE("tensor_header: names are short and UTF-8") {
  CHECK(with([](auto& h) { h.set_name(std::string(512, 'n')); }).has_value());
  CHECK(with([](auto& h) { h.set_name(std::string(513, 'n')); }).has_error());
  // Frame field 4, fragment field 6, header field 6, not UTF-8.
  CHECK(parse(std::string("\x22\x08\x0a\x06\x32\x04\x32\x02\xc3\x28", 10)).has_error());
}

TEST_CASE("tensor_header: frames that are none, or too large, are refused") {
  CHECK(parse("\xff\xff\xff\xff").has_error());
  const std::string good = frame_of(activation()).SerializeAsString();
  CHECK(parse(good.substr(0, good.size() - 1)).has_error());
  // A known field repeated: valid Protobuf, but longer than a frame may be.
  std::string padded = good;
  while (padded.size() <= kMaxTensorHeaderBytes) padded += std::string("\x08\x01", 2);
  const auto parsed = parse(padded);
  REQUIRE(parsed.has_error());
  CHECK(parsed.error().message.find("at most 65536") != std::string::npos);
}

}  // namespace
}  // namespace longhaul::proto
