// Tables of networks: what they may say, what is wrong with them, which paths are chosen.
#include "daemon/wan/network_file.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace longhaul::daemon;
using namespace std::chrono_literals;

namespace {

std::string errors(std::string_view text) {
  const auto network = parse_network(text, "n.csv");
  REQUIRE_FALSE(network.has_value());
  return to_string(network.error());
}

NetworkFile parsed(std::string_view text) {
  const auto network = parse_network(text, "n.csv");
  REQUIRE_MESSAGE(network.has_value(), to_string(network.error()));
  return *network;
}

}  // namespace

TEST_CASE("network file: a row of two sites holds for both directions") {
  const auto network =
      parsed("# a comment\n\nsite_a,site_b,delay_ms,bandwidth_gbps\noregon, ohio ,49,1.1\r\n");
  REQUIRE(network.paths.size() == 2);
  const auto& path = network.paths.at({"ohio", "oregon"});
  CHECK(path.conditions ==
        PathConditions{.rate_bits_per_s = 1.1e9, .delay = 49ms, .jitter = 0ns, .loss = 0.0});
  CHECK_FALSE(path.queue.has_value());
  CHECK(network.sites() == std::set<std::string>{"ohio", "oregon"});
}

TEST_CASE("network file: a row from one site to another holds for that direction") {
  const auto network = parsed(
      "queue_ms,loss,jitter_ms,bandwidth_mbps,delay_ms,to,from\n7,0.5,2,10,1.5,b,a\n"
      "7,0,0,20,1.5,a,b\n");
  const auto& path = network.paths.at({"a", "b"});
  CHECK(path.conditions ==
        PathConditions{.rate_bits_per_s = 10e6, .delay = 1500us, .jitter = 2ms, .loss = 0.5});
  CHECK(path.queue == std::chrono::nanoseconds(7ms));
  CHECK(network.paths.at({"b", "a"}).conditions.rate_bits_per_s == 20e6);
}

TEST_CASE("network file: every wrong row is reported at its place") {
  CHECK(errors("") ==
        "n.csv: this file is empty: its first line must name columns, as "
        "\"site_a,site_b,delay_ms,bandwidth_gbps\"");
  CHECK(errors("site_a,to,delay,delay_ms\n") ==
        "n.csv:1:11: unknown column delay\n"
        "n.csv:1:1: the columns must have site_a and site_b, or else from and to\n"
        "n.csv:1:1: the columns must have one of bandwidth_gbps and bandwidth_mbps");
  CHECK(errors("site_a,site_b,delay_ms,bandwidth_gbps\na,b,1\na,b,x,1\na,b,1,0\na,b,-1,nan\n"
               "a,b c,1,1\na,b,1,1\nb,a,1,1\n") ==
        "n.csv:2:1: this row has 3 values for 4 columns\n"
        "n.csv:3:5: delay_ms must be a number from 0 to 60000, not x\n"
        "n.csv:4:7: bandwidth_gbps must be a number from 1e-06 to 1000, not 0\n"
        "n.csv:5:5: delay_ms must be a number from 0 to 60000, not -1\n"
        "n.csv:5:8: bandwidth_gbps must be a number from 1e-06 to 1000, not nan\n"
        "n.csv:6:3: site_b must be a name of at most 128 letters, digits, '.', '_' and '-', not "
        "b c\n"
        "n.csv:8:1: the path from b to a occurs twice\n"
        "n.csv:8:1: the path from a to b occurs twice");
}

TEST_CASE("network file: paths are chosen and scaled, with a round trip of queue") {
  const auto network = parsed(
      "from,to,delay_ms,bandwidth_mbps,jitter_ms,queue_ms\na,b,20,100,1,0\nb,a,10,50,0,5\n"
      "a,a,1,1000,0,0\n");
  const auto paths = choose_paths(network, {"b", "a"}, {.bandwidth = 0.1, .delay = 2.0}).value();
  REQUIRE(paths.size() == 2);
  CHECK(paths[0].from == 0);
  CHECK(paths[0].to == 1);
  CHECK(paths[0].conditions.rate_bits_per_s == doctest::Approx(5e6));
  CHECK(paths[0].conditions.delay == 20ms);
  CHECK(paths[0].queue == 5ms);
  CHECK(paths[1].conditions.jitter == 2ms);
  CHECK(choose_paths(network, {"a", "a"}, {}).value().size() == 2);

  const auto unqueued = parsed("from,to,delay_ms,bandwidth_mbps\na,b,20,100\nb,a,10,50\n");
  CHECK(choose_paths(unqueued, {"a", "b"}, {}).value()[0].queue == 30ms);
  CHECK(choose_paths(unqueued, {"a", "b"}, {.bandwidth = 1.0, .delay = 0.1}).value()[1].queue ==
        kShortestQueue);
}

TEST_CASE("network file: a site or path that is not there is named") {
  const auto network = parsed("from,to,delay_ms,bandwidth_mbps\na,b,20,100\n");
  CHECK(choose_paths(network, {"a", "c"}, {}).error().message ==
        "the network has no site c: it has a, b");
  CHECK(choose_paths(network, {"a", "b"}, {}).error().message ==
        "the network has no path from b to a: add a row for it");
  CHECK(choose_paths(network, {"a", "a"}, {}).error().message ==
        "the network has no path from a to a: add a row for it");
}

TEST_CASE("network file: the ten cities of deploy reach each other and themselves") {
  const auto file = std::filesystem::path(LONGHAUL_SOURCE_DIR) / "deploy/wan/ten_cities.csv";
  const auto network = load_network(file);
  REQUIRE_MESSAGE(network.has_value(), to_string(network.error()));
  const auto names = network->sites();
  CHECK(names.size() == 10);
  const std::vector<std::string> sites(names.begin(), names.end());
  CHECK(choose_paths(*network, sites, {}).value().size() == 90);
  CHECK(network->paths.size() == 100);
  CHECK(network->paths.at({"ireland", "london"}).conditions.delay == 12ms);
}
