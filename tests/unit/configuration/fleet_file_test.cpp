// Fleets and profiles as files: what they come to, and what is refused where.
#include "daemon/configuration/fleet_file.hpp"
#include "daemon/configuration/profile_file.hpp"

#include "tests/unit/configuration/temporary_folder.hpp"

#include <doctest/doctest.h>

using namespace longhaul::daemon;
using longhaul::tests::TemporaryFolder;

namespace {

constexpr const char* kKinds = "kinds: [{name: fast, tflops: 10}]\n";

template <class T>
std::string errors_of(const TemporaryFolder& folder, const Checked<T>& loaded) {
  return loaded ? "no error" : folder.shorten(to_string(loaded.error()));
}

std::string fleet_errors(const std::string& text) {
  const TemporaryFolder folder;
  return errors_of(folder, load_fleet_configuration(folder.write("f.yaml", text)));
}

std::string profile_errors(const std::string& text) {
  const TemporaryFolder folder;
  return errors_of(folder, load_profile(folder.write("p.json", text)));
}

}  // namespace

TEST_CASE("fleet file: every key arrives") {
  const TemporaryFolder folder;
  folder.write("net.csv", "site_a,site_b,delay_ms,bandwidth_mbps\na,b,10,100\n");
  const auto loaded = load_fleet_configuration(folder.write(
      "f.yaml",
      std::string("network: net.csv\nbandwidth_scale: 0.5\nwithin_host: {delay_ms: 1}\n") + kKinds +
          "sites:\n  - name: a\n    egress_price_per_gb: 0.1\n    hosts:\n"
          "      - {name: h, count: 2, machine: m, processors: 4, data: false,\n"
          "         devices: [{name: cpu, kind: fast, threads: 3, speed: 0.5, "
          "memory_gb: 8}]}\n"));
  REQUIRE(loaded.has_value());
  CHECK(loaded->bandwidth_scale == 0.5);
  CHECK(loaded->within_host.delay_ms == 1.0);
  REQUIRE(loaded->sites.size() == 1);
  const FleetHostConfiguration& host = loaded->sites[0].hosts[0];
  CHECK(host.count == 2);
  CHECK(host.machine == "m");
  CHECK_FALSE(host.has_data);
  CHECK(host.devices[0].threads == 3);
  CHECK(host.devices[0].speed == 0.5);
}

TEST_CASE("fleet file: every error has its place and says what was expected") {
  CHECK(fleet_errors(std::string(kKinds) + "sites: []\n") ==
        "$/f.yaml:2:1: sites must have at least one entry");
  CHECK(fleet_errors(std::string(kKinds) + "sites:\n  - {name: a, hosts: []}\n") ==
        "$/f.yaml:3:15: sites[0].hosts must have at least one entry");
  CHECK(fleet_errors(std::string(kKinds) +
                     "sites:\n  - name: a\n    hosts:\n"
                     "      - {name: h, devices: [{kind: slow, memory_gb: 1}]}\n")
            .find("kind must be one of `kinds`, not 'slow'") != std::string::npos);
  CHECK(fleet_errors(std::string(kKinds) +
                     "bandwidth_scale: -1\nsites:\n  - {name: a, hosts: [{name: h, devices: "
                     "[{kind: fast, memory_gb: 1}]}]}\n")
            .find("$/f.yaml:2:18: bandwidth_scale must be") == 0);
  CHECK(fleet_errors("kinds: [{name: x}]\nsites:\n  - {name: a, hosts: [{name: h, devices: "
                     "[{kind: x, memory_gb: 1}]}]}\n") ==
        "$/f.yaml:1:9: kinds[0] must have a profile, or tflops");
}

TEST_CASE("fleet file: names that clash once counts are taken apart are told with their places") {
  const std::string device = "devices: [{kind: fast, memory_gb: 1}]";
  CHECK(fleet_errors(std::string(kKinds) + "sites:\n  - name: a\n    hosts:\n" +
                     "      - {name: h, count: 2, " + device + "}\n" + "      - {name: h-2, " +
                     device + "}\n") ==
        "$/f.yaml:6:16: sites[0].hosts[1] makes a node 'h-2', which sites[0].hosts[0] makes too; "
        "node names must differ");
  CHECK(fleet_errors(std::string(kKinds) + "sites:\n  - name: a\n    hosts:\n" +
                     "      - name: h\n        devices:\n"
                     "          - {name: \"cuda:0\", count: 2, kind: fast, memory_gb: 1}\n"
                     "          - {name: \"cuda:1\", kind: fast, memory_gb: 1}\n") ==
        "$/f.yaml:8:20: sites[0].hosts[0].devices[1].name makes a device 'cuda:1' a second time on "
        "host 'h'");
}

TEST_CASE("profile file: points arrive by class") {
  const TemporaryFolder folder;
  const auto loaded = load_profile(
      folder.write("p.json",
                   R"({"schema": "longhaul-profile/1", "kind": "k", "update_s_per_parameter": 1e-9,
          "side_by_side": [1, 1.5], "operators": [{"class": "add 4", "points": [
            {"batch": 1, "sequence": 8, "forward_s": 1, "input_gradient_s": 2,
             "weight_gradient_s": 3}]}],
          "codecs": [{"rung": "bf16", "bits_per_entry": 16, "encode_s_per_entry": 1e-9,
                      "decode_s_per_entry": 2e-9}]})"));
  REQUIRE(loaded.has_value());
  REQUIRE(loaded->operators.contains("add 4"));
  CHECK(loaded->operators.at("add 4")[0].time.weight_gradient_s == 3.0);
  CHECK(loaded->side_by_side == std::vector<double>{1.0, 1.5});
  CHECK(loaded->codecs[0].rung == "bf16");
}

TEST_CASE("profile file: what is wrong is told with its place") {
  CHECK(profile_errors("{\"schema\": \"other\"}").find("$/p.json:1:12: schema must be") !=
        std::string::npos);
  CHECK(profile_errors(R"({"schema": "longhaul-profile/1", "kind": "k",
"update_s_per_parameter": -1, "operators": []})")
            .find("$/p.json:2:27: update_s_per_parameter must be") == 0);
  CHECK(profile_errors(R"({"schema": "longhaul-profile/1", "kind": "k",
"update_s_per_parameter": 1, "operators": [{"class": "add 4", "points": []}]})") ==
        "$/p.json:2:63: operators[0].points must have at least one point");
}
