// The programs' own files: what they come to, and what is refused.
#include "daemon/configuration/site_files.hpp"

#include "tests/unit/configuration/temporary_folder.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

using namespace longhaul::daemon;
using longhaul::tests::TemporaryFolder;

namespace {

constexpr const char* kKey = "uC?[UBB+ONWCVy(@)/@m>57R0{ZYfkS6usm{*JM7";
constexpr const char* kOtherKey = "&(t[ctm.33GJh:aHN<ef/mmlX0QDvPuqB&DArq42";

std::string quoted(const char* key) { return fmt::format("'{}'", key); }

template <class T>
std::string errors_of(const TemporaryFolder& folder, const Checked<T>& loaded) {
  return loaded ? "no error" : folder.shorten(to_string(loaded.error()));
}

const std::string kCoordinator =
    "coordinator: {address: 'tcp://host:7070', public_key: " + quoted(kKey) + "}\n";

}  // namespace

TEST_CASE("coordinator file: every key arrives, paths from the file's folder") {
  const TemporaryFolder folder;
  const auto file = folder.write(
      "c.yaml",
      "listen: 'tcp://*:7000'\nkey: k/c.key\nstate: state\npeers:\n"
      "  - {name: n1, role: node, public_key: " +
          quoted(kKey) + "}\n  - {name: al, role: operator, public_key: " + quoted(kOtherKey) +
          "}\n");
  const auto loaded = load_coordinator_configuration(file);
  REQUIRE(loaded.has_value());
  CHECK(*loaded == CoordinatorConfiguration{
                       "tcp://*:7000",
                       folder.path() / "k/c.key",
                       folder.path() / "state",
                       {{"n1", kKey, PeerRole::kNode}, {"al", kOtherKey, PeerRole::kOperator}}});
}

TEST_CASE("coordinator file: defaults") {
  const TemporaryFolder folder;
  const auto loaded = load_coordinator_configuration(folder.write("c.yaml", "peers: []\n"));
  REQUIRE(loaded.has_value());
  CHECK(*loaded == CoordinatorConfiguration{"tcp://0.0.0.0:7070",
                                            folder.path() / "coordinator.key",
                                            "/var/lib/longhaul/coordinator",
                                            {}});
}

TEST_CASE("coordinator file: peers are told apart by name and key") {
  const TemporaryFolder folder;
  const std::string peer = "  - {name: n, role: node, public_key: " + quoted(kKey) + "}\n";
  const auto file = folder.write("c.yaml", "peers:\n" + peer + peer);
  CHECK(errors_of(folder, load_coordinator_configuration(file)) ==
        "$/c.yaml:3:12: peers[1].name is 'n' a second time\n"
        "$/c.yaml:3:39: peers[1].public_key is '" +
            std::string(kKey) + "' a second time");
}

TEST_CASE("coordinator file: addresses, keys and roles are checked") {
  const TemporaryFolder folder;
  const auto file = folder.write(
      "c.yaml",
      "listen: 0.0.0.0:7070\npeers:\n  - {name: n, role: boss, public_key: abc}\n  - 7\n");
  CHECK(errors_of(folder, load_coordinator_configuration(file)) ==
        "$/c.yaml:1:9: listen must be an address like tcp://0.0.0.0:7070, not '0.0.0.0:7070'\n"
        "$/c.yaml:3:21: peers[0].role must be one of node, operator, not 'boss'\n"
        "$/c.yaml:3:39: peers[0].public_key must be a public key of 40 characters, in quotes, not "
        "'abc'\n"
        "$/c.yaml:4:5: peers[1] must be a mapping, not '7'");
  for (const char* listen : {"tcp://h:0", "tcp://h:65536", "tcp://h", "tcp://:7", "tcp://h:x",
                             "ipc://x", "tcp://h:7 "}) {
    CAPTURE(listen);
    const auto bad = folder.write("b.yaml", "peers: []\nlisten: '" + std::string(listen) + "'\n");
    CHECK_FALSE(load_coordinator_configuration(bad).has_value());
  }
  for (const char* listen : {"tcp://[::1]:7", "tcp://127.0.0.1:*", "tcp://*:65535"}) {
    CAPTURE(listen);
    const auto good = folder.write("g.yaml", "peers: []\nlisten: '" + std::string(listen) + "'\n");
    CHECK(load_coordinator_configuration(good).has_value());
  }
}

TEST_CASE("node file: every key arrives") {
  const TemporaryFolder folder;
  const auto file = folder.write(
      "n.yaml", "name: a\nsite: home\n" + kCoordinator +
                    "key: a.key\nadvertise: 10.0.0.7\nstate: /srv/x\n"
                    "devices: [{name: cpu, threads: 4, memory_gb: 7.5}, {name: 'cuda:0'}]\n");
  const auto loaded = load_node_configuration(file);
  REQUIRE(loaded.has_value());
  CHECK(*loaded == NodeConfiguration{"a",
                                     "home",
                                     {"tcp://host:7070", kKey},
                                     folder.path() / "a.key",
                                     "10.0.0.7",
                                     "/srv/x",
                                     {{"cpu", 4, 7.5}, {"cuda:0", 0, 0.0}}});
}

TEST_CASE("node file: the cpu is the device unless the file says otherwise") {
  const TemporaryFolder folder;
  const auto file =
      folder.write("n.yaml", "name: a\nsite: home\nadvertise: a.example\n" + kCoordinator);
  const auto loaded = load_node_configuration(file);
  REQUIRE(loaded.has_value());
  CHECK(loaded->key == folder.path() / "node.key");
  CHECK(loaded->state == "/var/lib/longhaul/node");
  CHECK(loaded->devices == std::vector<DeviceConfiguration>{{"cpu", 0, 0.0}});
}

TEST_CASE("node file: a limit is a share of a cpu, above 0 and at most 1") {
  const TemporaryFolder folder;
  const auto load = [&](const std::string& rest) {
    return load_node_configuration(
        folder.write("l.yaml", "name: a\nsite: s\nadvertise: h\n" + kCoordinator + rest));
  };
  const auto loaded = load("limits: {cpu_share: 0.5}\n");
  REQUIRE(loaded.has_value());
  CHECK(loaded->limits.cpu_share == 0.5);
  CHECK(load("limits: {}\n")->limits.cpu_share == 1.0);
  for (const char* bad : {"0", "1.5", "-0.1", "half"}) {
    CAPTURE(bad);
    CHECK(errors_of(folder, load(fmt::format("limits: {{cpu_share: {}}}\n", bad)))
              .starts_with("$/l.yaml:5:21: limits.cpu_share must be a number, more than 0 and at "
                           "most 1, not "));
  }
  CHECK(errors_of(folder, load("devices: [{name: 'cuda:0'}]\nlimits: {cpu_share: 0.5}\n")) ==
        "$/l.yaml:6:21: limits.cpu_share must be 1 where no device is a cpu");
}

TEST_CASE("node file: missing keys, devices and the coordinator's address are checked") {
  const TemporaryFolder folder;
  const auto file = folder.write("n.yaml",
                                 "name: a\ncoordinator:\n  address: 'tcp://*:7070'\n"
                                 "devices: [{name: gpu}, {name: cpu}, {name: cpu}]\n");
  CHECK(errors_of(folder, load_node_configuration(file)) ==
        "$/n.yaml:1:1: missing key 'advertise': the host name or address under which other nodes' "
        "workers reach this one's\n"
        "$/n.yaml:1:1: missing key 'site': the place whose network it shares\n"
        "$/n.yaml:2:1: missing key 'coordinator.public_key': how to know that it is the right one\n"
        "$/n.yaml:3:12: coordinator.address must be an address like "
        "tcp://coordinator.example:7070, not the text 'tcp://*:7070'\n"
        "$/n.yaml:4:18: devices[0].name must be cpu or cuda:N, not 'gpu'\n"
        "$/n.yaml:4:44: devices[2].name is 'cpu' a second time");
  const auto none =
      folder.write("d.yaml", "name: a\nsite: s\nadvertise: h\ndevices: []\n" + kCoordinator);
  CHECK(errors_of(folder, load_node_configuration(none)) ==
        "$/d.yaml:4:1: devices must name at least one device");
}

TEST_CASE("client file: every key arrives") {
  const TemporaryFolder folder;
  const auto loaded = load_client_configuration(folder.write("client.yaml", kCoordinator));
  REQUIRE(loaded.has_value());
  CHECK(*loaded == ClientConfiguration{{"tcp://host:7070", kKey}, folder.path() / "client.key"});
}

TEST_CASE("client file: an unquoted key that reads as YAML's own signs is an error with a place") {
  const TemporaryFolder folder;
  const auto file = folder.write(
      "client.yaml",
      "coordinator:\n  address: tcp://h:1\n  public_key: " + std::string(kOtherKey) + "\n");
  CHECK(errors_of(folder, load_client_configuration(file)).starts_with("$/client.yaml:3:"));
}

TEST_CASE("client file: looked for where XDG says") {
  const auto with = [](const char* name, const char* value, const auto& body) {
    const char* old = std::getenv(name);
    const std::string before = old == nullptr ? "" : old;
    setenv(name, value, 1);
    body();
    if (old == nullptr) {
      unsetenv(name);
    } else {
      setenv(name, before.c_str(), 1);
    }
  };
  with("XDG_CONFIG_HOME", "/x", [] { CHECK(default_client_file() == "/x/longhaul/client.yaml"); });
  with("XDG_CONFIG_HOME", "", [&] {
    with("HOME", "/h", [] { CHECK(default_client_file() == "/h/.config/longhaul/client.yaml"); });
  });
}
