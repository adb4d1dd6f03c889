// bench_boundary_transport: what TensorChannel keeps of the speed of libzmq with CURVE, in
// alternating pairs of measurements, so that whatever else the machine does falls on both.
#include "tests/bench/channel/transport.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include <malloc.h>

namespace longhaul::bench {
namespace {

constexpr std::size_t kKiB = 1024;
constexpr std::size_t kSizes[] = {64 * kKiB, 256 * kKiB, 1024 * kKiB, 4096 * kKiB, 16384 * kKiB};
// A tensor that was just computed is not in a cache of the thread that sends it.
constexpr std::size_t kSendingMemory = 64 * kKiB * kKiB;
constexpr double kTarget = 0.9;
constexpr double kWarmUpS = 1.0;
// Then threads, sockets and memory are new: where the system places them matters, too.
constexpr std::size_t kPairsPerTransport = 5;

struct Options {
  std::string json;
  std::size_t pairs = 25;
  std::size_t megabytes = 128;  // per measurement
  std::size_t kib = 0;          // of this size only; 0: of each
};

std::optional<Options> parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return std::nullopt;
    const std::string_view value = argv[i + 1];
    const auto number = [&](std::size_t& to) {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), to);
      return error == std::errc() && end == value.data() + value.size() && to > 0;
    };
    if (name == "--json") {
      options.json = value;
    } else if (name == "--pairs") {
      if (!number(options.pairs)) return std::nullopt;
    } else if (name == "--kib") {
      if (!number(options.kib)) return std::nullopt;
    } else if (name != "--megabytes" || !number(options.megabytes)) {
      return std::nullopt;
    }
  }
  return options;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

Buffers make_buffers(std::size_t bytes) {
  std::mt19937_64 random(1);
  Buffers buffers;
  for (std::size_t i = 0; i < kSendingMemory / bytes; ++i) {
    auto buffer = std::make_shared<std::vector<std::byte>>(bytes);
    for (std::size_t at = 0; at < bytes; at += sizeof(std::uint64_t)) {
      const std::uint64_t word = random();
      std::memcpy(buffer->data() + at, &word, sizeof word);
    }
    buffers.push_back(std::move(buffer));
  }
  return buffers;
}

// As in a worker: the first large tensor that it frees raises glibc's limits, after which memory of
// this size is kept and not given back to the system with every message. For both transports.
void keep_freed_memory() {
  constexpr int kLimit = 32 << 20;
  mallopt(M_MMAP_THRESHOLD, kLimit);
  mallopt(M_TRIM_THRESHOLD, 2 * kLimit);
}

struct Row {
  std::size_t bytes = 0;
  double raw = 0;     // bytes per second, median
  double tensor = 0;  // bytes per second, median
  double ratio = 0;   // median over the pairs
};

// Connections, allocators and caches; and a link has to know itself.
void warm_up(Transport& transport, const Buffers& buffers) {
  double lasted_s = 0;
  while (lasted_s < kWarmUpS) lasted_s += transport.carry(buffers, buffers.size()).count();
}

Row measure(std::size_t bytes, const Options& options) {
  const Buffers buffers = make_buffers(bytes);
  const std::size_t messages = std::max<std::size_t>(8, options.megabytes * kKiB * kKiB / bytes);
  const auto rate = [&](Transport& transport) {
    return static_cast<double>(bytes * messages) / transport.carry(buffers, messages).count();
  };
  std::vector<double> raws;
  std::vector<double> tensors;
  std::vector<double> ratios;
  std::unique_ptr<Transport> raw;
  std::unique_ptr<Transport> tensor;
  for (std::size_t pair = 0; pair < options.pairs; ++pair) {
    if (pair % kPairsPerTransport == 0) {
      raw = make_raw_transport();
      tensor = make_tensor_transport();
      warm_up(*raw, buffers);
      warm_up(*tensor, buffers);
    }
    const bool raw_first = pair % 2 == 0;
    if (raw_first) raws.push_back(rate(*raw));
    tensors.push_back(rate(*tensor));
    if (!raw_first) raws.push_back(rate(*raw));
    ratios.push_back(tensors.back() / raws.back());
  }
  return {.bytes = bytes, .raw = median(raws), .tensor = median(tensors), .ratio = median(ratios)};
}

}  // namespace
}  // namespace longhaul::bench

int main(int argc, char** argv) {
  using namespace longhaul::bench;
  const auto options = parse(argc, argv);
  if (!options) {
    fmt::print(stderr, "usage: {} [--json FILE] [--pairs N] [--megabytes N] [--kib N]\n", argv[0]);
    return 2;
  }
  keep_freed_memory();
  nlohmann::json report = {{"benchmark", "boundary_transport"},
                           {"pairs", options->pairs},
                           {"target", kTarget},
                           {"rows", nlohmann::json::array()}};
  fmt::print("{:>10} {:>14} {:>18} {:>7}\n", "message", "libzmq, MB/s", "TensorChannel, MB/s",
             "ratio");
  for (const std::size_t bytes : kSizes) {
    if (options->kib != 0 && bytes != options->kib * kKiB) continue;
    const Row row = measure(bytes, *options);
    fmt::print("{:>6} KiB {:>14.0f} {:>19.0f} {:>7.3f}\n", row.bytes / kKiB, row.raw / 1e6,
               row.tensor / 1e6, row.ratio);
    std::fflush(stdout);
    report["rows"].push_back({{"bytes", row.bytes},
                              {"libzmq_bytes_per_s", row.raw},
                              {"tensor_channel_bytes_per_s", row.tensor},
                              {"ratio", row.ratio}});
  }
  if (options->json.empty()) return 0;
  std::ofstream file(options->json);
  file << report.dump(2) << '\n';
  file.close();
  if (!file) {
    fmt::print(stderr, "{}: cannot write {}\n", argv[0], options->json);
    return 1;
  }
  return 0;
}
