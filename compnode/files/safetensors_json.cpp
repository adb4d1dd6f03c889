// A state machine over JSON events: the format has four levels, and anything deeper is refused on
// sight, so that no input costs more than its length.
#include "compnode/files/safetensors_json.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <unordered_set>
#include <utility>

namespace longhaul::compnode {
namespace {

using Json = nlohmann::json;

class HeaderSax final : public nlohmann::json_sax<Json> {
 public:
  bool start_object(std::size_t) override {
    switch (place_) {
      case Place::kOutside: place_ = Place::kTop; return true;
      case Place::kTop: return start_member();
      case Place::kMetadata:
      case Place::kTensor:
      case Place::kShape:
      case Place::kOffsets: return unexpected("an object");
    }
    return false;
  }

  bool key(std::string& text) override {
    if (place_ == Place::kTop) {
      name_ = text;
      return names_.insert(std::move(text)).second || fail("it is there twice");
    }
    field_ = text;
    if (place_ == Place::kMetadata) {
      return !header_.metadata.contains(text) ||
             fail(fmt::format("key {} is there twice", proto::quoted(text)));
    }
    return true;
  }

  bool end_object() override {
    if (place_ == Place::kTensor) {
      if (!has_dtype_ || !has_shape_ || !has_offsets_) {
        return fail("dtype, shape and data_offsets must all be there");
      }
      header_.entries.push_back(std::move(entry_));
    }
    place_ = place_ == Place::kTop ? Place::kOutside : Place::kTop;
    return true;
  }

  bool start_array(std::size_t) override {
    if (place_ == Place::kTensor && field_ == "shape" && !has_shape_) {
      has_shape_ = true;
      place_ = Place::kShape;
      return true;
    }
    if (place_ == Place::kTensor && field_ == "data_offsets" && !has_offsets_) {
      has_offsets_ = true;
      offsets_seen_ = 0;
      place_ = Place::kOffsets;
      return true;
    }
    return unexpected("a list");
  }

  bool end_array() override {
    if (place_ == Place::kOffsets && offsets_seen_ != 2) return fail("data_offsets are not two");
    place_ = Place::kTensor;
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (place_ == Place::kShape) {
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        return fail("an extent is out of range");
      }
      entry_.shape.push_back(static_cast<std::int64_t>(value));
      return true;
    }
    if (place_ == Place::kOffsets && offsets_seen_ < 2) {
      (offsets_seen_++ == 0 ? entry_.begin : entry_.end) = value;
      return true;
    }
    return unexpected("a number");
  }

  bool string(std::string& text) override {
    if (place_ == Place::kMetadata) {
      header_.metadata.emplace(std::move(field_), std::move(text));
      return true;
    }
    if (place_ == Place::kTensor && field_ == "dtype" && !has_dtype_) {
      const auto dtype = dtype_from_name(text);
      if (!dtype) return fail("unknown dtype " + proto::quoted(text));
      entry_.dtype = *dtype;
      has_dtype_ = true;
      return true;
    }
    return unexpected("a text");
  }

  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const std::string&) override {
    return unexpected("a number that is no 64-bit integer");
  }
  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a truth value"); }
  bool binary(Json::binary_t&) override { return unexpected("binary data"); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    name_.clear();
    return fail(fmt::format("the header is not JSON at its byte {}", position));
  }

  [[nodiscard]] std::string take_message() { return std::move(message_); }
  [[nodiscard]] SafetensorsHeader take_header() { return std::move(header_); }

 private:
  enum class Place { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };

  bool start_member() {
    if (name_ == "__metadata__") {
      place_ = Place::kMetadata;
      return true;
    }
    entry_ = {};
    entry_.name = name_;
    has_dtype_ = has_shape_ = has_offsets_ = false;
    place_ = Place::kTensor;
    return true;
  }

  bool fail(std::string reason) {
    message_ = name_.empty() ? std::move(reason)
                             : fmt::format("tensor {}: {}", proto::quoted(name_), reason);
    return false;
  }

  bool unexpected(std::string_view what) {
    if (place_ == Place::kOutside) return fail("the header is not a JSON object");
    if (place_ == Place::kTop) return fail(fmt::format("{} where an object belongs", what));
    return fail(fmt::format("{} does not belong at {}", what, proto::quoted(field_)));
  }

  SafetensorsHeader header_;
  std::unordered_set<std::string> names_;
  std::string message_;
  Place place_ = Place::kOutside;
  std::string name_;   // the key of the top object that is being read
  std::string field_;  // the key inside of that
  SafetensorsHeader::Entry entry_;
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
  int offsets_seen_ = 0;
};

}  // namespace

proto::Result<SafetensorsHeader> parse_header_json(std::string_view json) {
  // The parser takes a zero byte for the end of its input.
  if (const auto zero = json.find('\0'); zero != std::string_view::npos) {
    return proto::configuration_error(
        fmt::format("the header is not JSON at its byte {}", zero + 1));
  }
  HeaderSax sax;
  if (!Json::sax_parse(json.begin(), json.end(), &sax)) {
    return proto::configuration_error(sax.take_message());
  }
  return sax.take_header();
}

}  // namespace longhaul::compnode
