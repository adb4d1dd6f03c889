// Reads and writes model.safetensors.index.json.
#include "compnode/files/weights_index.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <utility>

namespace longhaul::compnode {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSuffix = ".safetensors";

// A name and nothing that leads out of the folder.
bool is_shard_name(std::string_view name) {
  return name.size() > kSuffix.size() && name.ends_with(kSuffix) &&
         name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
}

// Takes "weight_map" out of the top object; passes over everything else there, down to a depth that
// real files do not reach.
class IndexSax final : public nlohmann::json_sax<Json> {
 public:
  bool start_object(std::size_t) override { return open(); }
  bool start_array(std::size_t) override {
    return depth_ == 0 || in_weight_map_ ? value() : open();
  }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& text) override {
    if (depth_ == 1) {
      in_weight_map_ = text == "weight_map";
      if (in_weight_map_ && seen_) return fail("weight_map is there twice");
      seen_ = seen_ || in_weight_map_;
    } else if (in_weight_map_) {
      name_ = text;
      if (index_.contains(text)) {
        return fail(fmt::format("tensor {} is there twice", proto::quoted(text)));
      }
    }
    return true;
  }

  bool string(std::string& text) override {
    if (!in_weight_map_) return depth_ > 0 || fail("it is not a JSON object");
    if (depth_ != 2) return value();
    if (!is_shard_name(text)) {
      return fail(fmt::format("tensor {}: {} is not the name of a .safetensors file in the folder",
                              proto::quoted(name_), proto::quoted(text)));
    }
    index_.emplace(std::move(name_), std::move(text));
    return true;
  }

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(number_integer_t) override { return value(); }
  bool number_unsigned(number_unsigned_t) override { return value(); }
  bool number_float(number_float_t, const std::string&) override { return value(); }
  bool binary(Json::binary_t&) override { return value(); }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return fail(fmt::format("not JSON at byte {}", position));
  }

  [[nodiscard]] std::string take_message() { return std::move(message_); }
  [[nodiscard]] bool seen() const { return seen_; }
  [[nodiscard]] WeightsIndex take_index() { return std::move(index_); }

 private:
  static constexpr int kMaxDepth = 16;

  bool open() {
    if (in_weight_map_ && depth_ >= 2) return value();
    if (depth_ == kMaxDepth) return fail("it is nested too deeply");
    ++depth_;
    return true;
  }

  bool close() {
    if (--depth_ <= 1) in_weight_map_ = false;
    return true;
  }

  // Any value that is not a text.
  bool value() {
    if (depth_ == 0) return fail("it is not a JSON object");
    return !in_weight_map_ || fail("weight_map must give a file name for each tensor");
  }

  bool fail(std::string message) {
    message_ = std::move(message);
    return false;
  }

  WeightsIndex index_;
  std::string message_;
  std::string name_;
  int depth_ = 0;
  bool in_weight_map_ = false;
  bool seen_ = false;
};

}  // namespace

proto::Result<WeightsIndex> parse_weights_index(std::string_view json) {
  // The parser takes a zero byte for the end of its input.
  if (const auto zero = json.find('\0'); zero != std::string_view::npos) {
    return proto::configuration_error(fmt::format("not JSON at byte {}", zero + 1));
  }
  IndexSax sax;
  if (!Json::sax_parse(json.begin(), json.end(), &sax)) {
    return proto::configuration_error(sax.take_message());
  }
  if (!sax.seen()) return proto::configuration_error("it has no weight_map");
  return sax.take_index();
}

std::string render_weights_index(const WeightsIndex& index, std::uint64_t total_bytes) {
  nlohmann::ordered_json json;
  json["metadata"]["total_size"] = total_bytes;
  json["weight_map"] = Json(index);
  return json.dump(2) + "\n";
}

}  // namespace longhaul::compnode
