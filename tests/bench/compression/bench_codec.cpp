// bench_codec: takes one measurement a line from standard input and answers each with a line of
// JSON, so that tests/bench/codec can let it take turns with other programs.
//
//   make normal|channels ROWS COLUMNS FILE   writes a tensor of float32 rows
//   load FILE COLUMNS                        what the following lines measure
//   copy                                     memcpy of the tensor
//   rung NAME                                encode and decode once
//   masked NAME FORMAT                       the values of FORMAT at the entries that NAME keeps
//   select NAME                              a top-k rung's entries and values, nothing written
//   set scalar|avx2|avx512|widest            the kernels in use
#include "compression/mask_indices.hpp"
#include "compression/payload_header.hpp"
#include "compression/tensor_codec.hpp"
#include "compression/top_k.hpp"
#include "tests/bench/compression/bench_tensor.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace longhaul::compression {
namespace {

using nlohmann::json;

template <class Body>
double seconds(const Body& body) {
  const auto begin = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double log2_choose(double n, double k) {
  return (std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1)) / std::log(2.0);
}

class Bench {
 public:
  json answer(std::istringstream& line) {
    std::string word;
    line >> word;
    if (word == "make") return write(line);
    if (word == "load") return load(line);
    if (word == "copy") return copy();
    if (word == "rung") return measure_rung(read_rung(line));
    if (word == "masked") return measure_masked(line);
    if (word == "select") return measure_select(read_rung(line));
    if (word == "set") return use(line);
    throw std::runtime_error(fmt::format("'{}' is no measurement", word));
  }

 private:
  static Rung read_rung(std::istringstream& line) {
    std::string text;
    line >> text;
    return parse_rung(text).value();
  }

  static json write(std::istringstream& line) {
    std::string kind;
    std::string file;
    Shape shape;
    line >> kind >> shape.rows >> shape.columns >> file;
    const std::vector<float> values = bench_tensor(kind, shape);
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(values.data()),
               static_cast<std::streamsize>(4 * values.size()));
    return {{"values", values.size()}};
  }

  json load(std::istringstream& line) {
    std::string file;
    line >> file >> shape_.columns;
    std::ifstream in(file, std::ios::binary | std::ios::ate);
    const auto bytes = static_cast<std::size_t>(in.tellg());
    shape_.rows = bytes / 4 / shape_.columns;
    values_.resize(shape_.elements());
    in.seekg(0);
    in.read(reinterpret_cast<char*>(values_.data()),
            static_cast<std::streamsize>(4 * values_.size()));
    if (!in || values_.empty()) throw std::runtime_error(fmt::format("{} has no rows", file));
    back_.assign(values_.size(), 0.0F);
    warm_.clear();
    return {{"rows", shape_.rows}, {"columns", shape_.columns}};
  }

  json copy() {
    const auto body = [&] { std::memcpy(back_.data(), values_.data(), 4 * values_.size()); };
    if (warm_.insert("copy").second) body();
    return {{"seconds", seconds(body)}};
  }

  json measure_rung(const Rung& rung) {
    const auto encode_once = [&] {
      encode(std::span<const float>(values_), shape_, rung, 1, workspace_, sent_).value();
    };
    const auto decode_once = [&] {
      decode(sent_.codec, sent_.payload.span(), shape_, std::span<float>(back_), &mask_, receiver_)
          .value();
    };
    if (warm_.insert(name(rung)).second) {
      encode_once();
      decode_once();
    }
    json report{{"encode_s", seconds(encode_once)},
                {"decode_s", seconds(decode_once)},
                {"codec", static_cast<int>(sent_.codec)},
                {"bytes", sent_.payload.size()},
                {"squared_error", sent_.distortion.squared_error},
                {"squares", sent_.distortion.squares}};
    if (sent_.codec == Codec::kTopK) {
      const TopKHeader header = read_top_k_header(sent_.payload.span()).value();
      report["entries"] = sent_.mask.size();
      report["index_bits"] = 8 * header.index_bytes;
      report["bound_bits"] =
          log2_choose(static_cast<double>(values_.size()), static_cast<double>(sent_.mask.size()));
    }
    return report;
  }

  json measure_masked(std::istringstream& line) {
    const Rung forward = read_rung(line);
    const Rung backward = read_rung(line);
    encode(std::span<const float>(values_), shape_, forward, 1, workspace_, sent_).value();
    const auto encode_once = [&] {
      encode_masked(std::span<const float>(values_), shape_, sent_.mask.span(), backward, 1,
                    workspace_, returned_)
          .value();
    };
    const auto decode_once = [&] {
      decode(returned_.codec, returned_.payload.span(), shape_, std::span<float>(back_),
             &sent_.mask, receiver_)
          .value();
    };
    encode_once();
    decode_once();
    return {{"encode_s", seconds(encode_once)},
            {"decode_s", seconds(decode_once)},
            {"bytes", returned_.payload.size()}};
  }

  json measure_select(const Rung& rung) {
    const bool global = rung.selection == Selection::kTopKGlobal;
    const std::size_t k = kept_entries(rung.density, global ? shape_.elements() : shape_.columns);
    const auto body = [&] {
      double squares = 0.0;
      const std::span<const float> values(values_);
      if (global) {
        (void)select_global(values, k, memory_, squares);
      } else {
        (void)select_per_row(values, shape_.columns, k, memory_, squares);
      }
      const auto kept = memory_.kept.span();
      const auto chosen = chosen_.resize(kept.size());
      for (std::size_t i = 0; i < kept.size(); ++i) chosen[i] = values[kept[i]];
    };
    if (warm_.insert("select " + name(rung)).second) body();
    return {{"seconds", seconds(body)}, {"entries", memory_.kept.size()}};
  }

  static json use(std::istringstream& line) {
    std::string word;
    line >> word;
    const std::pair<const char*, InstructionSet> sets[] = {{"scalar", InstructionSet::kScalar},
                                                           {"avx2", InstructionSet::kAvx2},
                                                           {"avx512", InstructionSet::kAvx512}};
    use_only(std::nullopt);
    for (const auto& [text, set] : sets) {
      if (word != text) continue;
      if (kernels_for(set) == nullptr) return {{"have", false}};
      use_only(set);
    }
    return {{"have", true}};
  }

  Shape shape_;
  std::vector<float> values_;
  std::vector<float> back_;
  std::set<std::string> warm_;  // what has run once on this tensor
  Workspace workspace_;
  Workspace receiver_;
  Encoded sent_;
  Encoded returned_;
  Buffer<std::uint32_t> mask_;
  TopKMemory memory_;
  Buffer<float> chosen_;
};

}  // namespace
}  // namespace longhaul::compression

int main() {
  longhaul::compression::Bench bench;
  for (std::string text; std::getline(std::cin, text);) {
    std::istringstream line(text);
    try {
      std::cout << bench.answer(line).dump() << std::endl;
    } catch (const std::exception& error) {
      std::cerr << "bench_codec: " << error.what() << "\n";
      return 1;
    }
  }
  return 0;
}
