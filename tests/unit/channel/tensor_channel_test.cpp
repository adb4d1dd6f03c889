// Tensor links over real sockets: introduction, order, memory, and how their loss is told.
#include "proto/channel/tensor_channel.hpp"

#include "tests/unit/channel/loopback.hpp"
#include "tests/unit/channel/tensor_peers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <thread>
#include <vector>

namespace longhaul::proto {
namespace {

using test::activation_header;
using test::floats;
using test::run_until;
using test::Worker;

TEST_CASE("tensor_channel: a pipeline of four links every pair, whoever is told first") {
  boost::asio::io_context loop;
  zmq::context_t context;
  std::vector<std::unique_ptr<Worker>> workers;
  for (std::uint32_t i = 0; i < 4; ++i)
    workers.push_back(std::make_unique<Worker>(context, loop, i));
  // All dial before anybody accepts.
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < i; ++j) workers[i]->dial(*workers[j]);
  }
  for (int turns = 0; turns < 20; ++turns) loop.run_one_for(std::chrono::milliseconds(5));
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < i; ++j) workers[j]->accept(*workers[i]);
  }
  REQUIRE(run_until(loop, [&] {
    return std::ranges::all_of(workers, [](const auto& w) { return w->linked.size() == 3; });
  }));
  for (const auto& from : workers) {
    for (const auto& to : workers) {
      if (from != to) from->channel->send(to->stage, activation_header(1, 8), floats(8, 0.5f));
    }
  }
  REQUIRE(run_until(loop, [&] {
    return std::ranges::all_of(workers, [](const auto& w) { return w->received.size() == 3; });
  }));
  for (const auto& worker : workers) CHECK(worker->errors.empty());
}

struct Pair {
  explicit Pair(TensorChannel::Options acceptor_options = {})
      : acceptor(context, loop, 0, std::move(acceptor_options)), dialler(context, loop, 1) {
    acceptor.accept(dialler);
    dialler.dial(acceptor);
    REQUIRE(run_until(
        loop, [this] { return acceptor.linked_to(dialler) && dialler.linked_to(acceptor); }));
  }
  boost::asio::io_context loop;
  zmq::context_t context;
  Worker acceptor;
  Worker dialler;
};

TEST_CASE("tensor_channel: 1,000 messages of mixed sizes each way arrive whole and in order") {
  Pair pair;
  const auto seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::vector<std::size_t> sizes(1000);
  for (auto& size : sizes) size = std::size_t{1} << (random() % 17);
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto value = static_cast<float>(i);
    pair.dialler.channel->send(StageIndex{0}, activation_header(i, sizes[i]),
                               floats(sizes[i], value));
    pair.acceptor.channel->send(StageIndex{1}, activation_header(i, sizes[i]),
                                floats(sizes[i], value));
    bytes += sizes[i] * sizeof(float);
  }
  CHECK(pair.dialler.channel->bytes_sent(StageIndex{0}) > bytes);
  REQUIRE(run_until(pair.loop, [&] {
    return pair.acceptor.received.size() == sizes.size() &&
           pair.dialler.received.size() == sizes.size();
  }));
  for (const Worker* worker : {&pair.acceptor, &pair.dialler}) {
    CHECK(worker->errors.empty());
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const auto& [header, payload] = worker->received[i];
      REQUIRE(header.step() == i);
      REQUIRE(header.sequence() == i);
      REQUIRE(header.from_stage() == (worker == &pair.acceptor ? 1u : 0u));
      REQUIRE(reinterpret_cast<std::uintptr_t>(payload.bytes.data()) % 8 == 0);
      REQUIRE(payload.bytes.size() == sizes[i] * sizeof(float));
      const auto* values = reinterpret_cast<const float*>(payload.bytes.data());
      REQUIRE(std::all_of(values, values + sizes[i],
                          [&](float v) { return v == static_cast<float>(i); }));
    }
  }
  CHECK(run_until(pair.loop, [&] {
    return pair.dialler.channel->bytes_waiting(StageIndex{0}) == 0 &&
           pair.acceptor.channel->bytes_waiting(StageIndex{1}) == 0;
  }));
}

TEST_CASE("tensor_channel: a payload's owner is released exactly once, and not before it is sent") {
  std::atomic<int> released = 0;
  constexpr int kMessages = 50;
  {
    Pair pair;
    for (int i = 0; i < kMessages; ++i) {
      const std::size_t elements = i % 3 == 0 ? 0 : std::size_t{1} << (i % 16);
      Payload payload = floats(elements, 1.0f);
      auto* memory = new std::shared_ptr<const void>(std::move(payload.owner));
      payload.owner = std::shared_ptr<const void>(memory->get(), [&released, memory](const void*) {
        delete memory;
        ++released;
      });
      pair.dialler.channel->send(StageIndex{0}, activation_header(0, elements), std::move(payload));
    }
    REQUIRE(run_until(pair.loop, [&] {
      return pair.acceptor.received.size() == kMessages &&
             pair.dialler.channel->bytes_waiting(StageIndex{0}) == 0;
    }));
    for (const auto& [header, payload] : pair.acceptor.received) {
      const auto* values = reinterpret_cast<const float*>(payload.bytes.data());
      CHECK(std::all_of(values, values + payload.bytes.size() / 4,
                        [](float v) { return v == 1.0f; }));
    }
  }
  CHECK(released == kMessages);
}

TEST_CASE("tensor_channel: a received payload outlives the channel") {
  Payload kept;
  {
    Pair pair;
    pair.dialler.channel->send(StageIndex{0}, activation_header(0, 4096), floats(4096, 2.5f));
    REQUIRE(run_until(pair.loop, [&] { return !pair.acceptor.received.empty(); }));
    kept = std::move(pair.acceptor.received.front().second);
  }
  const auto* values = reinterpret_cast<const float*>(kept.bytes.data());
  CHECK(kept.bytes.size() == 4096 * sizeof(float));
  CHECK(std::all_of(values, values + 4096, [](float v) { return v == 2.5f; }));
}

TEST_CASE("tensor_channel: what a peer sent before it left is delivered before its loss is told") {
  boost::asio::io_context loop;
  zmq::context_t context;
  TensorChannel::Options impatient;
  impatient.resume_timeout = std::chrono::milliseconds(100);
  Worker stays(context, loop, 0, impatient);
  std::optional<Worker> leaves(std::in_place, context, loop, 1);
  std::optional<Worker> accepts(std::in_place, context, loop, 2);
  stays.accept(*leaves);
  accepts->accept(stays);
  leaves->dial(stays);
  stays.dial(*accepts);
  REQUIRE(run_until(loop, [&] { return stays.linked.size() == 2 && leaves->linked_to(stays); }));
  constexpr std::size_t kMessages = 100;
  for (std::size_t i = 0; i < kMessages; ++i) {
    leaves->channel->send(stays.stage, activation_header(i, 1024), floats(1024, 1.0f));
  }
  bool acknowledged = false;
  leaves->channel->when_acknowledged(test::kDeadline, [&] { acknowledged = true; });
  REQUIRE(run_until(loop, [&] { return acknowledged; }));
  CHECK(leaves->channel->bytes_waiting(stays.stage) == 0);
  leaves.reset();
  REQUIRE(run_until(loop, [&] { return stays.errors.size() == 1; }));
  CHECK(stays.received.size() == kMessages);
  CHECK(stays.errors[0].first == StageIndex{1});
  CHECK(stays.errors[0].second.kind == ErrorKind::kLost);

  // The other direction of dialling: here the acceptor leaves.
  accepts.reset();
  REQUIRE(run_until(loop, [&] { return stays.errors.size() == 2; }));
  CHECK(stays.errors[1].first == StageIndex{2});
  CHECK(stays.errors[1].second.kind == ErrorKind::kLost);
  // Sending to the lost is allowed, and does nothing.
  const std::uint64_t sent = stays.channel->bytes_sent(StageIndex{2});
  stays.channel->send(StageIndex{2}, activation_header(0, 8), floats(8, 1.0f));
  CHECK(stays.channel->bytes_sent(StageIndex{2}) == sent);
}

TEST_CASE("tensor_channel: peers that do not link in time are named, with what stands in the way") {
  boost::asio::io_context loop;
  zmq::context_t context;
  const auto hurried = [] {
    TensorChannel::Options options;
    options.link_timeout = std::chrono::milliseconds(500);
    return options;
  };
  Worker accepts(context, loop, 0, hurried());
  Worker dials(context, loop, 1, hurried());
  Worker impostor(context, loop, 2);
  accepts.channel->accept(StageIndex{5}, make_curve_key_pair().public_key);
  dials.dial(accepts);  // which does not expect it
  REQUIRE(dials.channel
              ->dial(StageIndex{2}, impostor.channel->endpoint(), make_curve_key_pair().public_key)
              .has_value());
  REQUIRE(dials.channel->dial(StageIndex{3}, "tcp://127.0.0.1:1", impostor.keys.public_key)
              .has_value());
  REQUIRE(run_until(loop, [&] { return accepts.errors.size() == 1 && dials.errors.size() == 3; }));
  CHECK(accepts.failed_with("it has not dialled " + accepts.channel->endpoint()));
  CHECK(dials.failed_with("does not know this program's key"));
  CHECK(dials.failed_with("not as the Longhaul server with key"));
  CHECK(dials.failed_with("cannot reach tcp://127.0.0.1:1"));
  for (const auto& [peer, error] : dials.errors) CHECK(error.kind == ErrorKind::kLost);
  CHECK(dials.linked.empty());
}

TEST_CASE("tensor_channel: workers on loops and contexts of their own") {
  constexpr std::size_t kMessages = 200;
  boost::asio::io_context loop;
  zmq::context_t context;
  Worker here(context, loop, 0);
  boost::asio::io_context other_loop;
  zmq::context_t other_context;
  Worker there(other_context, other_loop, 1);
  here.accept(there);
  there.dial(here);
  std::atomic<bool> acknowledged = false;
  std::thread other([&] {
    run_until(other_loop, [&] { return there.linked_to(here); });
    for (std::size_t i = 0; i < kMessages; ++i) {
      there.channel->send(here.stage, activation_header(i, 20'000), floats(20'000, 1.0f));
    }
    run_until(other_loop, [&] { return acknowledged.load(); });
  });
  CHECK(run_until(loop, [&] { return here.received.size() == kMessages; }));
  if (here.linked_to(there))
    here.channel->send(there.stage, activation_header(0, 1), floats(1, 1.0f));
  CHECK(run_until(loop, [&] { return here.channel->bytes_waiting(there.stage) == 0; }));
  acknowledged = true;
  other.join();
  CHECK(there.received.size() == 1);
  CHECK(here.errors.empty());
}

TEST_CASE("tensor_channel: the advertised host replaces the bound one, the port stays") {
  boost::asio::io_context loop;
  zmq::context_t context;
  TensorChannel::Options options;
  options.advertise_host = "trainer-3.example.org";
  const Worker worker(context, loop, 0, std::move(options));
  CHECK(worker.channel->endpoint().starts_with("tcp://trainer-3.example.org:"));
  CHECK(worker.channel->endpoint().find('*') == std::string::npos);
  auto bad = TensorChannel::open(
      context, loop, {.bind_host = "no.such.host.invalid", .keys = make_curve_key_pair()});
  REQUIRE(bad.has_error());
  CHECK(bad.error().message.find("no.such.host.invalid") != std::string::npos);
}

TEST_CASE("tensor_channel: opening and closing leaves no thread and no descriptor behind") {
  std::size_t descriptors = 0;
  std::size_t threads = 0;
  for (int round = 0; round < 5; ++round) {
    {
      Pair pair;
      pair.dialler.channel->send(StageIndex{0}, activation_header(0, 8), floats(8, 1.0f));
      REQUIRE(run_until(pair.loop, [&] { return !pair.acceptor.received.empty(); }));
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
