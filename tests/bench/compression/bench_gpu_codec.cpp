// bench_gpu_codec: the codecs on a CUDA device, each rung in turns with copying the tensor itself
// and with the same rung on one core of the host.
//
// Times are what a worker sees: from a tensor in the device's memory to a payload in the host's,
// and back; medians over rounds. --once NAME does one rung a single time after one to warm up, for
// a profiler of kernels to look at.
#include "compression/cuda/device_codec.hpp"
#include "tests/bench/compression/bench_tensor.hpp"

#include <CLI/CLI.hpp>
#include <cuda_runtime.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace longhaul::compression::cuda {
namespace {

using nlohmann::json;

constexpr const char* kMeasured[] = {"fp32",
                                     "bf16",
                                     "int16/128",
                                     "int8/128",
                                     "int8/128-packed",
                                     "int4/64-rotated",
                                     "int4/64-packed",
                                     "topk50%-int8-packed",
                                     "topk25%-int8-packed",
                                     "topk10%-int4-packed",
                                     "topk3%-int4-packed",
                                     "topk1%-int4-packed",
                                     "gtopk1%-fp32",
                                     "indexed1%"};

template <class Body>
double seconds(const Body& body) {
  check(cudaDeviceSynchronize(), "waiting for the device");
  const auto begin = std::chrono::steady_clock::now();
  body();
  check(cudaDeviceSynchronize(), "waiting for the device");
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// A tensor on the device and on the host, encoded and decoded at both.
class Tensor {
 public:
  Tensor(Shape shape, const std::string& kind)
      : shape_(shape), values_(bench_tensor(kind, shape)), back_(values_.size()), given_(values_) {
    returned_.resize(values_.size());
  }

  void encode(const Rung& rung) {
    codec_.encode(given_.in(), shape_, rung, 1, sent_, mask_).value();
  }
  void decode() {
    codec_.decode(sent_.codec, sent_.payload.span(), shape_, returned_.out(), &mask_).value();
  }
  void encode_on_host(const Rung& rung) {
    compression::encode(std::span<const float>(values_), shape_, rung, 1, workspace_, host_sent_)
        .value();
  }
  void decode_on_host() {
    compression::decode(host_sent_.codec, host_sent_.payload.span(), shape_,
                        std::span<float>(back_), &host_mask_, workspace_)
        .value();
  }
  void to_host() { given_.download_to(back_); }
  void to_device() { returned_.assign(back_); }
  void within_device() {
    check(
        cudaMemcpyAsync(returned_.out(), given_.in(), 4 * values_.size(), cudaMemcpyDeviceToDevice),
        "copying on the device");
  }

  [[nodiscard]] std::size_t dense_bytes() const { return 4 * values_.size(); }
  [[nodiscard]] bool same_payload() const {
    return std::ranges::equal(sent_.payload.span(), host_sent_.payload.span());
  }
  [[nodiscard]] std::size_t payload_bytes() const { return sent_.payload.size(); }

 private:
  Shape shape_;
  std::vector<float> values_;
  std::vector<float> back_;
  DeviceBuffer<float> given_;
  DeviceBuffer<float> returned_;
  DeviceCodec codec_;
  Encoded sent_;
  DeviceBuffer<std::uint32_t> mask_;
  Workspace workspace_;
  Encoded host_sent_;
  Buffer<std::uint32_t> host_mask_;
};

json measure(Tensor& tensor, const std::string& name, int rounds) {
  const Rung rung = parse_rung(name).value();
  tensor.encode(rung);
  tensor.decode();
  tensor.encode_on_host(rung);
  tensor.decode_on_host();
  if (!tensor.same_payload()) throw std::runtime_error(name + ": host and device differ");
  std::vector<double> encode;
  std::vector<double> decode;
  std::vector<double> host_encode;
  std::vector<double> host_decode;
  for (int round = 0; round < rounds; ++round) {
    encode.push_back(seconds([&] { tensor.encode(rung); }));
    decode.push_back(seconds([&] { tensor.decode(); }));
    if (round % 4 != 0) continue;
    host_encode.push_back(seconds([&] { tensor.encode_on_host(rung); }));
    host_decode.push_back(seconds([&] { tensor.decode_on_host(); }));
  }
  return {{"rung", name},
          {"payload bytes", tensor.payload_bytes()},
          {"encode ms", 1e3 * median(encode)},
          {"decode ms", 1e3 * median(decode)},
          {"host encode ms", 1e3 * median(host_encode)},
          {"host decode ms", 1e3 * median(host_decode)}};
}

json measure_copies(Tensor& tensor, int rounds) {
  std::vector<double> down;
  std::vector<double> up;
  std::vector<double> within;
  for (int round = 0; round < rounds; ++round) {
    down.push_back(seconds([&] { tensor.to_host(); }));
    up.push_back(seconds([&] { tensor.to_device(); }));
    within.push_back(seconds([&] { tensor.within_device(); }));
  }
  const auto bytes = static_cast<double>(tensor.dense_bytes());
  return {{"copy", "of the tensor, GB/s"},
          {"to the host", 1e-9 * bytes / median(down)},
          {"to the device", 1e-9 * bytes / median(up)},
          {"on the device", 2e-9 * bytes / median(within)}};
}

void print(const json& row) {
  if (row.contains("copy")) {
    fmt::print(
        "copies of the tensor: {:.2f} GB/s to the host, {:.2f} to the device, {:.0f} read and "
        "written on it\n",
        row["to the host"].get<double>(), row["to the device"].get<double>(),
        row["on the device"].get<double>());
    fmt::print("{:<22}{:>14}{:>12}{:>12}{:>15}{:>15}\n", "rung", "payload bytes", "encode ms",
               "decode ms", "host encode ms", "host decode ms");
    return;
  }
  fmt::print("{:<22}{:>14}{:>12.3f}{:>12.3f}{:>15.3f}{:>15.3f}\n", row["rung"].get<std::string>(),
             row["payload bytes"].get<std::size_t>(), row["encode ms"].get<double>(),
             row["decode ms"].get<double>(), row["host encode ms"].get<double>(),
             row["host decode ms"].get<double>());
}

int run(int count, char** arguments) {
  Shape shape{.rows = 4096, .columns = 4096};
  std::string kind = "channels";
  std::string once;
  std::string json_file;
  int rounds = 20;
  CLI::App app{"The codecs on a CUDA device"};
  app.add_option("--rows", shape.rows);
  app.add_option("--columns", shape.columns);
  app.add_option("--kind", kind)->check(CLI::IsMember({"normal", "channels"}));
  app.add_option("--rounds", rounds)->check(CLI::PositiveNumber);
  app.add_option("--once", once, "one rung, for a profiler");
  app.add_option("--json", json_file);
  CLI11_PARSE(app, count, arguments);

  Tensor tensor(shape, kind);
  if (!once.empty()) {
    const Rung rung = parse_rung(once).value();
    for (int time = 0; time < 2; ++time) {
      tensor.encode(rung);
      tensor.decode();
    }
    return 0;
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, 0), "looking at the device");
  fmt::print("{}, {} x {} {} values, medians of {} rounds\n", properties.name, shape.rows,
             shape.columns, kind, rounds);
  json rows = json::array();
  rows.push_back(measure_copies(tensor, rounds));
  print(rows.back());
  for (const char* name : kMeasured) {
    rows.push_back(measure(tensor, name, rounds));
    print(rows.back());
  }
  if (!json_file.empty()) std::ofstream(json_file) << rows.dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace longhaul::compression::cuda

int main(int count, char** arguments) {
  try {
    return longhaul::compression::cuda::run(count, arguments);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_gpu_codec: {}\n", error.what());
    return 1;
  }
}
