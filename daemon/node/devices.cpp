// Matches requested devices with what host and worker report.
#include "daemon/node/devices.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace longhaul::daemon {

namespace {

using proto::Result;

Result<wire::Device> resolve_cpu(const DeviceRequest& request, const HostResources& host) {
  if (request.memory_bytes > host.total_memory_bytes) {
    return proto::Error{
        proto::ErrorKind::kResource,
        fmt::format("cpu: {:.1f} GB of memory are configured, the host has {:.1f} GB: lower "
                    "`memory_gb`",
                    static_cast<double>(request.memory_bytes) / 1e9,
                    static_cast<double>(host.total_memory_bytes) / 1e9)};
  }
  wire::Device device;
  device.set_name(request.name);
  device.set_description(host.processor);
  device.set_threads(request.threads == 0 ? host.threads : request.threads);
  device.set_memory_bytes(request.memory_bytes == 0 ? host.memory_bytes : request.memory_bytes);
  if (request.cpu_share < 1.0) device.set_cpu_share(request.cpu_share);
  return device;
}

Result<wire::Device> resolve_cuda(const DeviceRequest& request,
                                  std::span<const wire::Device> cuda) {
  const auto found = std::ranges::find(cuda, request.name, &wire::Device::name);
  if (found == cuda.end()) {
    std::string seen;
    for (const auto& device : cuda) seen += (seen.empty() ? "" : ", ") + device.name();
    return proto::configuration_error(
        fmt::format("{}: the worker sees {}: correct `devices`, or give a longhaul-worker that was "
                    "built with CUDA",
                    request.name, seen.empty() ? "no CUDA device" : "only " + seen));
  }
  wire::Device device = *found;
  if (request.memory_bytes > device.memory_bytes()) {
    return proto::Error{proto::ErrorKind::kResource,
                        fmt::format("{}: {:.1f} GB of memory are configured, it has {:.1f} GB: "
                                    "lower `memory_gb`",
                                    request.name, static_cast<double>(request.memory_bytes) / 1e9,
                                    static_cast<double>(device.memory_bytes()) / 1e9)};
  }
  if (request.memory_bytes != 0) device.set_memory_bytes(request.memory_bytes);
  device.set_threads(std::max(1u, request.threads));
  return device;
}

}  // namespace

bool needs_probe(std::span<const DeviceRequest> requests) {
  return std::ranges::any_of(requests, [](const auto& request) { return request.name != "cpu"; });
}

Result<std::vector<wire::Device>> parse_probe(std::string_view json) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  std::vector<wire::Device> devices;
  try {
    for (const auto& entry : parsed.at("cuda")) {
      auto& device = devices.emplace_back();
      device.set_name(entry.at("name").get<std::string>());
      device.set_description(entry.at("description").get<std::string>());
      device.set_memory_bytes(entry.at("memory_bytes").get<std::uint64_t>());
    }
  } catch (const nlohmann::json::exception& error) {
    return proto::Error{proto::ErrorKind::kInternal,
                        fmt::format("longhaul-worker probe does not answer as expected ({}): is "
                                    "it of this version?",
                                    error.what())};
  }
  return devices;
}

Result<std::vector<wire::Device>> resolve_devices(std::span<const DeviceRequest> requests,
                                                  const HostResources& host,
                                                  std::span<const wire::Device> cuda) {
  std::vector<wire::Device> devices;
  for (const auto& request : requests) {
    auto device =
        request.name == "cpu" ? resolve_cpu(request, host) : resolve_cuda(request, cuda);
    if (!device) return device.error();
    devices.push_back(std::move(*device));
  }
  return devices;
}

}  // namespace longhaul::daemon
