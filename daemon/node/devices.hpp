// Which devices a node offers: what its configuration asks for, filled in with what the host has.
#pragma once

#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::daemon {

// 0: what the host has.
struct DeviceRequest {
  std::string name;  // "cpu" or "cuda:N"
  std::uint32_t threads = 0;
  std::uint64_t memory_bytes = 0;
  double cpu_share = 1.0;  // (0, 1], of a cpu
};

// The host itself, as machine.hpp tells.
struct HostResources {
  std::uint32_t threads = 1;
  std::uint64_t memory_bytes = 0;  // that can still be allocated
  std::uint64_t total_memory_bytes = 0;
  std::string processor;
};

// Only the worker, which has LibTorch, knows about cuda devices.
[[nodiscard]] bool needs_probe(std::span<const DeviceRequest> requests);

// The cuda devices in what `longhaul-worker probe --quick` printed.
[[nodiscard]] proto::Result<std::vector<wire::Device>> parse_probe(std::string_view json);

// kConfiguration for a cuda device that the worker does not see, kResource if the host has less
// memory in all than asked for.
[[nodiscard]] proto::Result<std::vector<wire::Device>> resolve_devices(
    std::span<const DeviceRequest> requests, const HostResources& host,
    std::span<const wire::Device> cuda);

}  // namespace longhaul::daemon
