// Hostile and sound headers.
#include "compnode/files/safetensors_header.hpp"

#include "tests/unit/files/result_text.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>

namespace longhaul::compnode {
namespace {

std::string with_length(std::uint64_t length, std::string_view rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + std::string(rest);
}

std::string file_of(std::string_view json, std::size_t data_bytes) {
  return with_length(json.size(), json) + std::string(data_bytes, 'x');
}

proto::Result<SafetensorsHeader> parse(std::string_view file) {
  return parse_safetensors_header(std::as_bytes(std::span(file)));
}

std::string refusal(std::string_view file) {
  const auto result = parse(file);
  if (result) return "accepted";
  CHECK(result.error().kind == proto::ErrorKind::kConfiguration);
  CHECK(result.error().message.find('\n') == std::string::npos);
  CHECK(result.error().message.size() < 500);
  return result.error().message;
}

bool says(const std::string& message, std::string_view part) {
  INFO(message);
  const bool found = message.find(part) != std::string::npos;
  CHECK_MESSAGE(found, "expected: " << part);
  return found;
}

TEST_CASE("safetensors header: a tensor's dtype, shape and place come out as written") {
  const auto header = parse(file_of(
      R"({"b":{"dtype":"F16","shape":[2],"data_offsets":[8,12]},"__metadata__":{"k":"v"},)"
      R"("a":{"data_offsets":[0,8],"shape":[2,1],"dtype":"F32"}}   )", 12));
  REQUIRE(header);
  CHECK(header->metadata == Metadata{{"k", "v"}});
  REQUIRE(header->entries.size() == 2);
  CHECK(header->entries[0].name == "a");
  CHECK(header->entries[0].shape == proto::Shape{2, 1});
  CHECK(header->entries[1].dtype == Dtype::kF16);
  CHECK(header->entries[1].begin == 8);
}

TEST_CASE("safetensors header: scalars and empty tensors are sound") {
  CHECK(parse(file_of(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}})", 8)));
  CHECK(parse(file_of(R"({"e":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}})", 0)));
  CHECK(parse(file_of("{}", 0)));
}

TEST_CASE("safetensors header: a length that cannot be is refused before anything is read") {
  says(refusal(""), "0 bytes are no safetensors file");
  says(refusal("1234567"), "7 bytes are no safetensors file");
  says(refusal(with_length(~0ULL, "{}")), "more than the 100000000 that the format allows");
  says(refusal(with_length(1ULL << 63, "{}")), "more than the 100000000");
  says(refusal(with_length(100'000'001, "{}")), "more than the 100000000");
  says(refusal(with_length(3, "{}")), "claims 3 bytes, but the file has 10 in all");
}

TEST_CASE("safetensors header: what is not the format's JSON is refused") {
  says(refusal(file_of("", 0)), "does not begin with '{'");
  says(refusal(file_of(" {}", 0)), "does not begin with '{'");
  says(refusal(file_of("[]", 0)), "does not begin with '{'");
  says(refusal(file_of("{", 0)), "not JSON");
  says(refusal(file_of("{}x", 0)), "not JSON");
  says(refusal(file_of("{} {}", 0)), "not JSON");
  says(refusal(file_of("{\"\xff\xfe\":1}", 0)), "not JSON");
  says(refusal(file_of(std::string("{}\0", 3), 0)), "not JSON");
  says(refusal(file_of(R"({"a":7})", 0)), "tensor 'a': a number where an object belongs");
  says(refusal(file_of(R"({"a":[]})", 0)), "tensor 'a': a list where an object belongs");
  says(refusal(file_of(R"({"a":null})", 0)), "tensor 'a': null where");
  says(refusal(file_of(R"({"a":{"dtype":"F32"}})", 0)), "must all be there");
  says(refusal(file_of(R"({"a":{"dtype":{"x":1}}})", 0)), "an object does not belong at 'dtype'");
  says(refusal(file_of(R"({"a":{"color":"red"}})", 0)), "a text does not belong at 'color'");
  says(refusal(file_of(R"({"__metadata__":{"a":1}})", 0)), "a number does not belong at 'a'");
  says(refusal(file_of(R"({"__metadata__":{"a":{}}})", 0)), "an object does not belong at 'a'");
}

TEST_CASE("safetensors header: a bomb of nested JSON is refused at its first level too deep") {
  std::string bomb = "{\"a\":{\"shape\":";
  bomb.append(5'000'000, '[');
  says(refusal(file_of(bomb, 0)), "tensor 'a': a list does not belong at 'shape'");
  std::string objects = "{";
  for (int i = 0; i < 1'000'000; ++i) objects += "\"a\":{";
  says(refusal(file_of(objects, 0)), "tensor 'a': an object does not belong at 'a'");
}

TEST_CASE("safetensors header: a key twice is refused") {
  const std::string a = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  says(refusal(file_of("{" + a + "," + a + "}", 1)), "tensor 'a': it is there twice");
  says(refusal(file_of(R"({"__metadata__":{},"__metadata__":{}})", 0)), "there twice");
  says(refusal(file_of(R"({"__metadata__":{"k":"1","k":"2"}})", 0)), "key 'k' is there twice");
  says(refusal(file_of(R"({"a":{"dtype":"U8","dtype":"U8"}})", 0)), "does not belong at 'dtype'");
  says(refusal(file_of(R"({"a":{"shape":[1],"shape":[1]}})", 0)), "does not belong at 'shape'");
  says(refusal(file_of(R"({"a":{"data_offsets":[0,1],"data_offsets":[0,1]}})", 0)),
       "does not belong at 'data_offsets'");
}

TEST_CASE("safetensors header: shapes are lists of non-negative integers in range") {
  const auto shaped = [](std::string_view shape) {
    return file_of(std::string(R"({"a":{"dtype":"F32","shape":)") + std::string(shape) +
                       R"(,"data_offsets":[0,4]}})", 4);
  };
  CHECK(parse(shaped("[1]")));
  says(refusal(shaped("[-1]")), "a negative number does not belong at 'shape'");
  says(refusal(shaped("[NaN]")), "not JSON");
  says(refusal(shaped("[Infinity]")), "not JSON");
  says(refusal(shaped("[1.0]")), "no 64-bit integer");
  says(refusal(shaped("[1e0]")), "no 64-bit integer");
  says(refusal(shaped("[\"1\"]")), "a text does not belong at 'shape'");
  says(refusal(shaped("[null]")), "null does not belong at 'shape'");
  says(refusal(shaped("1")), "a number does not belong at 'shape'");
  says(refusal(shaped("[9223372036854775808]")), "an extent is out of range");
  says(refusal(shaped("[18446744073709551616]")), "no 64-bit integer");
  says(refusal(shaped("[4294967296,4294967296]")), "is out of range");
  says(refusal(shaped("[0,4294967296,4294967296]")), "is out of range");
  says(refusal(shaped("[2]")), "data_offsets 0 to 4 do not fit F32 [2], which takes 8 bytes");
}

TEST_CASE("safetensors header: offsets fit the shape, and the tensors fill the file exactly") {
  const auto placed = [](std::string_view offsets, std::size_t data_bytes) {
    return file_of(std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") +
                       std::string(offsets) + "}}", data_bytes);
  };
  CHECK(parse(placed("[0,4]", 4)));
  says(refusal(placed("[4,0]", 4)), "do not fit");
  says(refusal(placed("[0,5]", 5)), "do not fit");
  says(refusal(placed("[0]", 4)), "data_offsets are not two");
  says(refusal(placed("[]", 4)), "data_offsets are not two");
  says(refusal(placed("[0,4,4]", 4)), "a number does not belong at 'data_offsets'");
  says(refusal(placed("[-4,0]", 4)), "a negative number");
  says(refusal(placed("[18446744073709551612,0]", 4)), "do not fit");
  says(refusal(placed("[18446744073709551611,18446744073709551615]", 4)), "belong to no tensor");
  says(refusal(placed("[0,4]", 3)), "it is cut short");
  says(refusal(placed("[0,4]", 5)), "the last 1 bytes belong to no tensor");
  says(refusal(placed("[1,5]", 5)), "bytes 0 to 1 before it belong to no tensor");
  says(refusal(file_of("{}", 1)), "the last 1 bytes belong to no tensor");
  says(refusal(file_of(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
                       R"("b":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}})", 7)),
       "tensor 'b': overlaps the tensor before it");
  says(refusal(file_of(R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1)),
       "do not fit F4 [3]");
  CHECK(parse(file_of(R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}})", 2)));
}

TEST_CASE("safetensors header: every dtype of the format is listed, others are refused by name") {
  for (int i = 0; i <= static_cast<int>(Dtype::kU64); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    CHECK(dtype_from_name(dtype_name(dtype)) == dtype);
    const std::string bytes = std::to_string(dtype_bits(dtype));
    CHECK(parse(file_of(R"({"a":{"dtype":")" + std::string(dtype_name(dtype)) +
                            R"(","shape":[8],"data_offsets":[0,)" + bytes + "]}}",
                        dtype_bits(dtype))));
  }
  says(refusal(file_of(R"({"a":{"dtype":"Q4"}})", 0)), "tensor 'a': unknown dtype 'Q4'");
}

TEST_CASE("safetensors header: names in messages cannot break the line") {
  says(refusal(file_of(R"({"a\nb\u001b[2J":7})", 0)), R"(tensor 'a\x0ab\x1b[2J')");
  says(refusal(file_of("{\"" + std::string(10'000, 'n') + "\":7}", 0)), "nnn...'");
}

TEST_CASE("safetensors header: any cut or single flipped byte of a sound file is survived") {
  const std::string file = file_of(
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
      R"("b":{"dtype":"I64","shape":[1],"data_offsets":[16,24]}})", 24);
  for (std::size_t size = 0; size < file.size(); ++size) CHECK_FALSE(parse(file.substr(0, size)));
  std::size_t accepted = 0;
  for (std::size_t i = 0; i < file.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = file;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      const auto header = parse(damaged);
      if (!header) continue;
      ++accepted;  // a letter of a name, or the data: then the layout is still sound
      std::uint64_t end = 0;
      for (const auto& entry : header->entries) end = entry.end;
      CHECK(header->data_offset + end == damaged.size());
    }
  }
  CHECK(accepted > 0);
}

TEST_CASE("safetensors header: what is rendered is parsed back") {
  const std::uint64_t seed = std::random_device{}();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  const std::vector<std::byte> zeros(4096);
  for (int round = 0; round < 200; ++round) {
    std::vector<NamedTensor> tensors;
    const std::size_t count = random() % 6;
    for (std::size_t i = 0; i < count; ++i) {
      const Dtype dtypes[] = {Dtype::kF32, Dtype::kBF16, Dtype::kU8, Dtype::kI64};
      TensorView view{.dtype = dtypes[random() % 4], .shape = {}, .bytes = {}};
      std::size_t bytes = dtype_bits(view.dtype) / 8;
      for (std::uint64_t rank = random() % 4; rank > 0; --rank) {
        view.shape.push_back(static_cast<std::int64_t>(random() % 5));
        bytes *= static_cast<std::size_t>(view.shape.back());
      }
      view.bytes = std::span(zeros).first(bytes);
      tensors.push_back({"name \"" + std::to_string(i) + "\"\n\\ü", view});
    }
    const Metadata metadata = round % 2 ? Metadata{{"format", "pt"}, {"k\"", "v\n"}} : Metadata{};
    std::string file = render_safetensors_header(tensors, metadata);
    CHECK(file.size() % 8 == 0);
    const std::size_t header_size = file.size();
    for (const auto& tensor : tensors) file.append(tensor.view.bytes.size(), '\0');
    const auto header = parse(file);
    REQUIRE(header);
    CHECK(header->metadata == metadata);
    CHECK(header->data_offset == header_size);
    REQUIRE(header->entries.size() == tensors.size());
    for (const auto& entry : header->entries) {
      const auto original = std::find_if(tensors.begin(), tensors.end(),
                                         [&](const auto& t) { return t.name == entry.name; });
      REQUIRE(original != tensors.end());
      CHECK(entry.dtype == original->view.dtype);
      CHECK(entry.shape == original->view.shape);
    }
  }
}

}  // namespace
}  // namespace longhaul::compnode
