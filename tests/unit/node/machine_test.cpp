// What the files of /proc and of cgroups say about memory and processors.
#include "daemon/host/machine.hpp"
#include "daemon/node/devices.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

using namespace longhaul;
using namespace longhaul::daemon;

namespace {

struct FakeMachine {
  FakeMachine() {
    auto pattern = (std::filesystem::temp_directory_path() / "longhaul-machine-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    folder = pattern;
    write("proc/meminfo", "MemTotal: 16000 kB\nMemFree: 1 kB\nMemAvailable:  8000 kB\n");
    write("proc/self/cgroup", "0::/system.slice/node.service\n");
  }
  ~FakeMachine() { std::filesystem::remove_all(folder); }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((folder / file).parent_path());
    std::ofstream(folder / file) << text;
  }
  [[nodiscard]] MachineFiles files() const { return {folder / "proc", folder / "cgroup"}; }
  std::filesystem::path folder;
};

std::vector<wire::Device> cuda_device() {
  wire::Device device;
  device.set_name("cuda:0");
  device.set_memory_bytes(80'000'000'000);
  return {device};
}

}  // namespace

TEST_CASE("machine: memory is what the kernel has available, without a cgroup's limit") {
  const FakeMachine machine;
  CHECK(available_memory_bytes(machine.files()) == 8000 * 1024);
  machine.write("cgroup/system.slice/memory.max", "max\n");
  CHECK(available_memory_bytes(machine.files()) == 8000 * 1024);
}

TEST_CASE("machine: the tightest cgroup on the way up counts, less what it uses already") {
  const FakeMachine machine;
  machine.write("cgroup/system.slice/memory.max", "5000000\n");
  machine.write("cgroup/system.slice/memory.current", "1000000\n");
  CHECK(available_memory_bytes(machine.files()) == 4000000);
  machine.write("cgroup/system.slice/node.service/memory.max", "3000000\n");
  CHECK(available_memory_bytes(machine.files()) == 3000000);
  CHECK(total_memory_bytes(machine.files()) == 3000000);
  machine.write("cgroup/system.slice/node.service/memory.current", "3000001\n");
  CHECK(available_memory_bytes(machine.files()) == 0);
}

TEST_CASE("machine: a cgroup's quota bounds the processors, rounded up") {
  const FakeMachine machine;
  CHECK(cgroup_processors(machine.files()) == 0);
  machine.write("cgroup/cpu.max", "max 100000\n");
  CHECK(cgroup_processors(machine.files()) == 0);
  machine.write("cgroup/system.slice/cpu.max", "250000 100000\n");
  CHECK(cgroup_processors(machine.files()) == 3);
}

TEST_CASE("machine: this one has a thread, memory and a name") {
  CHECK(available_threads() >= 1);
  CHECK(available_memory_bytes() > 0);
  CHECK_FALSE(host_name().empty());
}

TEST_CASE("machine: a program is found on PATH, and one that is nowhere is named") {
  CHECK(find_program("sh").has_value());
  const auto missing = find_program("longhaul-no-such-program");
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().message.find("longhaul-no-such-program is neither in") == 0);
}

TEST_CASE("machine: a worker that was asked for by path must be a program") {
  CHECK(find_worker("/bin/sh").value() == "/bin/sh");
  const auto wrong = find_worker("/etc/passwd");
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().kind == proto::ErrorKind::kConfiguration);
}

TEST_CASE("devices: what is not configured is what the host has") {
  const HostResources host{8, 1000, 2000, "a processor"};
  const std::vector<DeviceRequest> requests{{"cpu", 0, 0}};
  const auto devices = resolve_devices(requests, host, {}).value();
  REQUIRE(devices.size() == 1);
  CHECK(devices[0].threads() == 8);
  CHECK(devices[0].memory_bytes() == 1000);
  CHECK(devices[0].description() == "a processor");
  const std::vector<DeviceRequest> fixed{{"cpu", 2, 500}};
  CHECK(resolve_devices(fixed, host, {}).value()[0].threads() == 2);
  CHECK(resolve_devices(fixed, host, {}).value()[0].memory_bytes() == 500);
}

TEST_CASE("devices: more than there is is refused before anything runs") {
  const HostResources host{8, 1000, 2000, ""};
  const std::vector<DeviceRequest> memory{{"cpu", 0, 2001}};
  CHECK(resolve_devices(memory, host, {}).error().kind == proto::ErrorKind::kResource);
  const std::vector<DeviceRequest> other{{"cuda:1", 0, 0}};
  CHECK(needs_probe(other));
  const auto cuda = cuda_device();
  CHECK(resolve_devices(other, host, cuda).error().message.starts_with(
      "cuda:1: the worker sees only cuda:0"));
  CHECK(resolve_devices(other, host, {}).error().message.starts_with(
      "cuda:1: the worker sees no CUDA device"));
  const std::vector<DeviceRequest> too_much{{"cuda:0", 0, 81'000'000'000}};
  CHECK(resolve_devices(too_much, host, cuda).error().kind == proto::ErrorKind::kResource);
}

TEST_CASE("devices: the worker's probe is read, and nonsense from it is named") {
  const auto devices = parse_probe(
      R"({"torch": "2", "cpu": {}, "cuda": [{"name": "cuda:0", "description": "H100",
          "memory_bytes": 5}]})");
  REQUIRE(devices.has_value());
  CHECK(devices.value()[0].description() == "H100");
  for (const char* text : {"", "{", "{}", "[]", R"({"cuda": 3})", R"({"cuda": [{"name": 1}]})"}) {
    CHECK_FALSE(parse_probe(text).has_value());
  }
}
