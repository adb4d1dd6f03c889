// Control messages over real sockets: who gets in, who does not, and what each side is told.
#include "proto/channel/control_channel.hpp"

#include "tests/unit/channel/loopback.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <stdlib.h>

namespace longhaul::proto {
namespace {

using test::run_until;

wire::Envelope numbered(std::uint64_t number) {
  wire::Envelope envelope;
  envelope.set_request(number);
  envelope.mutable_heartbeat();
  return envelope;
}

struct Server {
  Server(zmq::context_t& context, boost::asio::io_context& loop,
         const std::string& bind = "tcp://127.0.0.1:*") {
    auto opened = ControlServer::open(
        context, loop,
        {.bind = bind,
         .keys = keys,
         .allow =
             [this](const std::string& key) { return asked.insert(key), allowed.contains(key); },
         .on_message =
             [this](const ControlPeer& peer, wire::Envelope envelope) {
               received.emplace_back(peer, std::move(envelope));
             }});
    REQUIRE(opened.has_value());
    server = std::move(opened).value();
  }

  CurveKeyPair keys = make_curve_key_pair();
  std::set<std::string> allowed;
  std::set<std::string> asked;
  std::vector<std::pair<ControlPeer, wire::Envelope>> received;
  std::unique_ptr<ControlServer> server;
};

struct Client {
  Client(zmq::context_t& context, boost::asio::io_context& loop, std::string endpoint,
         std::string server_key, CurveKeyPair pair = make_curve_key_pair())
      : keys(std::move(pair)) {
    auto opened = ControlClient::open(
        context, loop,
        {.endpoint = std::move(endpoint),
         .server_key = std::move(server_key),
         .keys = keys,
         .on_message = [this](wire::Envelope envelope) { received.push_back(std::move(envelope)); },
         .on_connection =
             [this](bool connected, std::string reason) {
               news.emplace_back(connected, std::move(reason));
             }});
    REQUIRE(opened.has_value());
    client = std::move(opened).value();
  }
  [[nodiscard]] bool connected() const { return !news.empty() && news.back().first; }
  [[nodiscard]] bool told(const std::string& part) const {
    return !news.empty() && news.back().second.find(part) != std::string::npos;
  }

  CurveKeyPair keys;
  std::vector<wire::Envelope> received;
  std::vector<std::pair<bool, std::string>> news;
  std::unique_ptr<ControlClient> client;
};

TEST_CASE("control: an allowed key connects, and both sides hear each other in order") {
  boost::asio::io_context loop;
  zmq::context_t context;
  Server server(context, loop);
  const CurveKeyPair keys = make_curve_key_pair();
  server.allowed.insert(keys.public_key);
  Client client(context, loop, server.server->endpoint(), server.keys.public_key, keys);
  constexpr std::uint64_t kCount = 500;  // several turns' worth
  for (std::uint64_t i = 0; i < kCount; ++i) REQUIRE(client.client->send(numbered(i)));
  REQUIRE(run_until(loop, [&] { return server.received.size() == kCount; }));
  CHECK(client.connected());
  CHECK(client.news.size() == 1);
  for (std::uint64_t i = 0; i < kCount; ++i) {
    REQUIRE(server.received[i].second.request() == i);
    REQUIRE(server.received[i].first.public_key == keys.public_key);
  }
  const ControlPeer peer = server.received.front().first;
  for (std::uint64_t i = 0; i < kCount; ++i) REQUIRE(server.server->send(peer, numbered(i)));
  REQUIRE(run_until(loop, [&] { return client.received.size() == kCount; }));
  for (std::uint64_t i = 0; i < kCount; ++i) REQUIRE(client.received[i].request() == i);
}

TEST_CASE("control: an unknown key is refused, is told how to mend it, and gets in once allowed") {
  boost::asio::io_context loop;
  zmq::context_t context;
  Server server(context, loop);
  Client client(context, loop, server.server->endpoint(), server.keys.public_key);
  client.client->send(numbered(1));
  REQUIRE(run_until(loop, [&] { return client.told("does not know this program's key"); }));
  CHECK_FALSE(client.connected());
  CHECK(client.told(client.keys.public_key));
  CHECK(server.asked.contains(client.keys.public_key));
  CHECK(server.received.empty());

  server.allowed.insert(client.keys.public_key);
  REQUIRE(run_until(loop, [&] { return client.connected(); }));
  CHECK(client.client->send(numbered(2)));
  REQUIRE(run_until(loop, [&] { return !server.received.empty(); }));
  CHECK(server.received.front().second.request() == 2);
}

TEST_CASE("control: a server with another key than expected is not believed") {
  boost::asio::io_context loop;
  zmq::context_t context;
  Server server(context, loop);
  const CurveKeyPair keys = make_curve_key_pair();
  server.allowed.insert(keys.public_key);
  const std::string expected = make_curve_key_pair().public_key;
  Client client(context, loop, server.server->endpoint(), expected, keys);
  client.client->send(numbered(1));
  REQUIRE(run_until(loop, [&] { return client.told("check the address, and the server's key"); }));
  CHECK(client.told(expected));
  CHECK_FALSE(client.connected());
  CHECK(server.asked.empty());
  CHECK(server.received.empty());
}

TEST_CASE("control: a server that is not there is named, and found when it comes") {
  boost::asio::io_context loop;
  zmq::context_t context;
  std::optional<Server> server(std::in_place, context, loop);
  const std::string endpoint = server->server->endpoint();
  const CurveKeyPair server_keys = server->keys;
  server.reset();
  Client client(context, loop, endpoint, server_keys.public_key);
  REQUIRE(run_until(loop, [&] { return client.told("cannot reach " + endpoint); }));

  std::vector<wire::Envelope> received;
  auto late = ControlServer::open(
      context, loop,
      {.bind = endpoint,
       .keys = server_keys,
       .allow = [](const std::string&) { return true; },
       .on_message = [&](const ControlPeer&,
                         wire::Envelope e) { received.push_back(std::move(e)); }});
  REQUIRE(late.has_value());
  REQUIRE(run_until(loop, [&] { return client.connected(); }));

  SUBCASE("and its loss is told, once") {
    const std::size_t before = client.news.size();
    late.value().reset();
    REQUIRE(run_until(loop, [&] { return client.news.size() == before + 2; }));
    CHECK(client.news[before].second.find("was lost") != std::string::npos);
    CHECK(client.news[before + 1].second.find("cannot reach") != std::string::npos);
  }
}

TEST_CASE("control: a port in use is a resource error that names the address") {
  boost::asio::io_context loop;
  zmq::context_t context;
  const Server first(context, loop);
  const auto second = ControlServer::open(
      context, loop, {.bind = first.server->endpoint(), .keys = make_curve_key_pair()});
  REQUIRE(second.has_error());
  CHECK(second.error().kind == ErrorKind::kResource);
  CHECK(second.error().message.find(first.server->endpoint()) != std::string::npos);
  CHECK(second.error().message.find("choose another port") != std::string::npos);
}

TEST_CASE("control: addresses and keys that make no sense are configuration errors") {
  boost::asio::io_context loop;
  zmq::context_t context;
  for (const std::string bind : {"", "tcp://", "tcp://127.0.0.1:99999", "http://127.0.0.1:80",
                                 "ipc:///nonexistent-folder/socket", "tcp://203.0.113.7:*"}) {
    CAPTURE(bind);
    const auto opened =
        ControlServer::open(context, loop, {.bind = bind, .keys = make_curve_key_pair()});
    REQUIRE(opened.has_error());
    CHECK(opened.error().kind == ErrorKind::kConfiguration);
    CHECK(opened.error().message.find('\n') == std::string::npos);
  }
  CHECK(ControlServer::open(context, loop, {.bind = "tcp://127.0.0.1:*"}).has_error());
  const CurveKeyPair keys = make_curve_key_pair();
  CHECK(ControlClient::open(context, loop,
                            {.endpoint = "tcp://127.0.0.1:1", .server_key = "no key", .keys = keys})
            .has_error());
  CHECK(ControlClient::open(context, loop,
                            {.endpoint = "127.0.0.1", .server_key = keys.public_key, .keys = keys})
            .has_error());
}

TEST_CASE("control: a Unix socket serves as well as TCP") {
  std::string folder = (std::filesystem::temp_directory_path() / "longhaul-ipc-XXXXXX").string();
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  {
    boost::asio::io_context loop;
    zmq::context_t context;
    Server server(context, loop, "ipc://" + folder + "/control");
    const CurveKeyPair keys = make_curve_key_pair();
    server.allowed.insert(keys.public_key);
    CHECK(server.server->endpoint() == "ipc://" + folder + "/control");
    Client client(context, loop, server.server->endpoint(), server.keys.public_key, keys);
    Client stranger(context, loop, server.server->endpoint(), server.keys.public_key);
    client.client->send(numbered(7));
    REQUIRE(run_until(loop, [&] {
      return !server.received.empty() && stranger.told("does not know this program's key");
    }));
    REQUIRE(server.server->send(server.received.front().first, numbered(8)));
    REQUIRE(run_until(loop, [&] { return !client.received.empty(); }));
    CHECK(client.received.front().request() == 8);
  }
  std::filesystem::remove_all(folder);
}

TEST_CASE("control: what an allowed peer sends is dropped unless it is one Envelope") {
  boost::asio::io_context loop;
  zmq::context_t context;
  Server server(context, loop);
  const CurveKeyPair keys = make_curve_key_pair();
  server.allowed.insert(keys.public_key);
  zmq::socket_t peer =
      test::raw_dealer(context, server.server->endpoint(), keys, server.keys.public_key);
  const auto send = [&](const std::string& bytes, bool more = false) {
    zmq::message_t frame(bytes.data(), bytes.size());
    peer.send(frame, more ? zmq::send_flags::sndmore : zmq::send_flags::none);
  };
  const std::string good = numbered(1).SerializeAsString();
  send("\xff\xff\xff junk that is no Envelope");
  send(good, true);
  send("one frame too many");
  send(numbered(2).SerializeAsString());
  REQUIRE(run_until(loop, [&] { return !server.received.empty(); }));
  CHECK(server.received.size() == 1);
  CHECK(server.received.front().second.request() == 2);
}

TEST_CASE("control: a message over the limit costs the peer its connection and nobody else's") {
  boost::asio::io_context loop;
  zmq::context_t context;
  Server server(context, loop);
  const CurveKeyPair bad = make_curve_key_pair();
  const CurveKeyPair good = make_curve_key_pair();
  server.allowed = {bad.public_key, good.public_key};
  zmq::socket_t peer =
      test::raw_dealer(context, server.server->endpoint(), bad, server.keys.public_key);
  peer.send(zmq::message_t(kMaxControlMessageBytes + 4096), zmq::send_flags::none);
  Client client(context, loop, server.server->endpoint(), server.keys.public_key, good);
  client.client->send(numbered(5));
  REQUIRE(run_until(loop, [&] { return !server.received.empty(); }));
  CHECK(server.received.front().first.public_key == good.public_key);

  wire::Envelope large;
  large.mutable_failure()->set_message(std::string(kMaxControlMessageBytes + 1, 'x'));
  CHECK_FALSE(client.client->send(large));
  CHECK_FALSE(server.server->send(server.received.front().first, large));
}

TEST_CASE("control: bytes that are no handshake never reach the server") {
  boost::asio::io_context loop;
  zmq::context_t context;
  Server server(context, loop);
  const test::RawTcp http(server.server->endpoint());
  http.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + std::string(4096, '\xff'));
  REQUIRE(run_until(loop, [&] { return http.closed_by_peer(); }));
  CHECK(server.asked.empty());
  CHECK(server.received.empty());
}

TEST_CASE("control: sending to a peer that left says so") {
  boost::asio::io_context loop;
  zmq::context_t context;
  Server server(context, loop);
  const CurveKeyPair keys = make_curve_key_pair();
  server.allowed.insert(keys.public_key);
  {
    Client client(context, loop, server.server->endpoint(), server.keys.public_key, keys);
    client.client->send(numbered(1));
    REQUIRE(run_until(loop, [&] { return !server.received.empty(); }));
  }
  const ControlPeer gone = server.received.front().first;
  CHECK(run_until(loop, [&] { return !server.server->send(gone, numbered(2)); }));
  CHECK_FALSE(server.server->send({.connection = "", .public_key = ""}, numbered(2)));
}

TEST_CASE("control: servers on two loops share a context, each with its own allow-list") {
  zmq::context_t context;
  boost::asio::io_context loop_a;
  boost::asio::io_context loop_b;
  Server a(context, loop_a);
  std::optional<Server> b(std::in_place, context, loop_b);
  const CurveKeyPair keys_a = make_curve_key_pair();
  const CurveKeyPair keys_b = make_curve_key_pair();
  a.allowed.insert(keys_a.public_key);
  b->allowed.insert(keys_b.public_key);
  auto work = boost::asio::make_work_guard(loop_b);
  std::thread other([&] { loop_b.run(); });

  Client for_a(context, loop_a, a.server->endpoint(), a.keys.public_key, keys_a);
  Client for_b(context, loop_a, b->server->endpoint(), b->keys.public_key, keys_b);
  Client wrong(context, loop_a, b->server->endpoint(), b->keys.public_key, keys_a);
  for_a.client->send(numbered(1));
  CHECK(run_until(loop_a, [&] { return for_a.connected() && for_b.connected(); }));
  CHECK(run_until(loop_a, [&] { return wrong.told("does not know this program's key"); }));
  CHECK(run_until(loop_a, [&] { return !a.received.empty(); }));
  work.reset();
  loop_b.stop();
  other.join();
  b.reset();

  // The domain that is left still answers.
  Client again(context, loop_a, a.server->endpoint(), a.keys.public_key, keys_a);
  CHECK(run_until(loop_a, [&] { return again.connected(); }));
}

TEST_CASE("control: opening and closing leaves no thread and no descriptor behind") {
  std::size_t descriptors = 0;
  std::size_t threads = 0;
  for (int round = 0; round < 5; ++round) {
    {
      zmq::context_t context;
      boost::asio::io_context loop;
      for (int i = 0; i < 3; ++i) {
        Server server(context, loop);
        const CurveKeyPair keys = make_curve_key_pair();
        server.allowed.insert(keys.public_key);
        Client client(context, loop, server.server->endpoint(), server.keys.public_key, keys);
        client.client->send(numbered(1));
        REQUIRE(run_until(loop, [&] { return !server.received.empty(); }));
      }
    }
    if (round == 0) {
      descriptors = test::open_descriptors();
      threads = test::running_threads();
    }
  }
  CHECK(test::open_descriptors() == descriptors);
  CHECK(test::running_threads() == threads);
}

}  // namespace
}  // namespace longhaul::proto
