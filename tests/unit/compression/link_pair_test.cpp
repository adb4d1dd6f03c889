// Forward and backward of one boundary, and any link on any input.
#include "compression/link_policy.hpp"
#include "compression/link_rules.hpp"
#include "tests/unit/compression/simulated_link.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace longhaul::compression {
namespace {

// A boundary whose two directions have their own speeds; readings are exact.
class Pair {
 public:
  Pair() : forward_(PolicyOptions{}), backward_(backward_options()) {}

  void step(double forward_rho, double backward_rho) {
    StepInput input = common(forward_rho);
    std::vector<RungSample> samples;
    for (const Rung& rung : forward_.wanted_trials(16))
      samples.push_back(sample(rung, kWholeDensity));
    samples.push_back(sample(forward_.rung(), kWholeDensity));
    input.samples = samples;
    input.demand = backward_.demand();
    const Rung used = forward_.rung();
    (void)forward_.next(input);

    StepInput back = common(backward_rho);
    const std::uint32_t mask = shares_mask(used) ? used.density : kWholeDensity;
    std::vector<RungSample> back_samples;
    for (const Rung& rung : backward_.wanted_trials(16)) back_samples.push_back(sample(rung, mask));
    back_samples.push_back(sample(sent_back(used), mask));
    back.samples = back_samples;
    back.forward = forward_.rung();
    back.forward_hardest = forward_.hardest_allowed();
    (void)backward_.next(back);
    level_s_ = std::max(forward_.best_time_s(), backward_.best_time_s());
    ++step_;
  }

  Rung sent_back(const Rung& forward) const { return backward_rung(backward_.rung(), forward); }
  const LinkPolicy& forward() const { return forward_; }
  const LinkPolicy& backward() const { return backward_; }
  double backward_time_s(double rho) const {
    const Rung& forward = forward_.rung();
    const double share = shares_mask(forward) ? forward.density / 1e9 : 1.0;
    return link_.entries * share * simulated_bytes_per_entry(backward_.rung()) /
           link_.speed_for(rho);
  }
  const SimulatedLink& link() const { return link_; }

 private:
  static PolicyOptions backward_options() {
    PolicyOptions options;
    options.backward = true;
    options.distortion = 0.05;
    return options;
  }
  StepInput common(double rho) const {
    StepInput input;
    input.step = step_;
    input.link = {.goodput_bytes_per_s = link_.speed_for(rho), .spread = 0.0, .lower_bound = false};
    input.entries = link_.entries;
    input.budget_s = link_.compute_s;
    input.water_level_s = level_s_;
    return input;
  }
  RungSample sample(const Rung& rung, std::uint32_t mask) const {
    RungSample made = simulated_sample(link_, rung, 1e5);
    made.mask_density = mask;
    made.bytes *= mask / 1e9;
    return made;
  }

  SimulatedLink link_;
  LinkPolicy forward_;
  LinkPolicy backward_;
  std::uint64_t step_ = 0;
  double level_s_ = 0.0;
};

TEST_CASE("boundary: backward is never harder than forward, whatever the speeds") {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> exponent(-1.0, 2.0);
  for (int run = 0; run < 50; ++run) {
    Pair pair;
    bool never = true;
    for (int step = 0; step < 60; ++step) {
      pair.step(std::pow(10.0, exponent(random)), std::pow(10.0, exponent(random)));
      const Rung back = pair.backward().rung();
      never =
          never && static_cast<int>(back.format) >= static_cast<int>(pair.forward().rung().format);
      never = never && back.selection == Selection::kAll && check(back).has_value();
    }
    CHECK(never);
  }
}

TEST_CASE("boundary: where only the way back is slow, the forward makes room for it") {
  Pair pair;
  for (int step = 0; step < 40; ++step) pair.step(0.5, 20.0);
  CHECK(name(pair.forward().rung()) == "topk15%-int6/64-packed");
  CHECK(pair.backward_time_s(20.0) <= pair.link().compute_s);
  CHECK(pair.forward().last_reason().find("the backward link needs it") != std::string::npos);
  // And takes it back when the way back is fast again.
  for (int step = 0; step < 40; ++step) pair.step(0.5, 0.5);
  CHECK(pair.forward().rung() == Rung{});
  CHECK(pair.backward().rung() == Rung{});
}

TEST_CASE("boundary: gradients are as fine as their own link permits") {
  Pair pair;
  for (int step = 0; step < 40; ++step) pair.step(30.0, 1.0);
  CHECK(name(pair.forward().rung()) == "topk10%-int4/64-packed");
  CHECK(name(pair.backward().rung()) == "fp32");
  CHECK(pair.backward().changes() == 0);
}

// Numbers that a broken meter might tell.
double awkward(std::mt19937_64& random, double usual) {
  std::uniform_int_distribution<int> kind(0, 19);
  switch (kind(random)) {
    case 0:
      return std::numeric_limits<double>::quiet_NaN();
    case 1:
      return 0.0;
    case 2:
      return -usual;
    case 3:
      return std::numeric_limits<double>::infinity();
    case 4:
      return usual * 1e-300;
    default:
      return usual * std::exp(std::normal_distribution<double>(0.0, 1.0)(random));
  }
}

TEST_CASE("policy: on any input a sound rung, within budget or on the way, moved by two at most") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    PolicyOptions options;
    options.backward = seed % 3 == 0;
    options.distortion = 0.3;
    options.steps = 300;
    options.anneal = seed % 2 == 0 ? 0.2 : 0.0;
    LinkPolicy policy(options);
    const SimulatedLink link;
    std::uniform_int_distribution<std::size_t> place(0, default_ladder().size() - 1);
    Rung before = policy.rung();
    for (std::uint64_t step = 0; step < 300; ++step) {
      std::vector<RungSample> samples;
      for (const Rung& rung : policy.wanted_trials(3)) {
        RungSample sample = simulated_sample(link, rung, 1e4);
        if (random() % 4 == 0) sample.bytes = awkward(random, sample.bytes);
        if (random() % 4 == 0) sample.encode_s = awkward(random, sample.encode_s);
        samples.push_back(sample);
      }
      StepInput input;
      input.step = step;
      input.link = {.goodput_bytes_per_s = awkward(random, link.speed_for(8.0)),
                    .spread = awkward(random, 0.1),
                    .lower_bound = random() % 3 == 0};
      input.entries = awkward(random, link.entries);
      input.samples = samples;
      input.budget_s = awkward(random, link.compute_s);
      input.water_level_s = awkward(random, link.compute_s);
      input.loss = awkward(random, 2.0);
      input.demand = place(random);
      input.forward = default_ladder()[place(random)];
      input.forward_hardest = place(random);
      const Decision decision = policy.next(input);
      const double factor = static_cast<double>(decision.rung.density) / before.density;
      REQUIRE(check(decision.rung).has_value());
      REQUIRE(factor <= 2.0);
      REQUIRE(factor >= 0.5);
      REQUIRE(decision.rung == policy.rung());
      REQUIRE(decision.changed == (decision.rung != before));
      REQUIRE(decision.changed == !decision.reason.empty());
      REQUIRE(decision.reason.find("nan") == std::string::npos);
      if (!options.backward) REQUIRE(simulated_distortion(decision.choice).squared_error <= 0.3);
      REQUIRE(std::isfinite(policy.best_time_s()));
      REQUIRE(policy.best_time_s() >= 0.0);
      REQUIRE(policy.demand() < default_ladder().size());
      before = decision.rung;
    }
    if (options.anneal > 0.0 && !options.backward) CHECK(before.density == kWholeDensity);
  }
}

TEST_CASE("policy: the same inputs make the same decisions") {
  SimulatedLink link;
  link.noise = 0.3;
  link.bytes_per_s = [&link](double now_s) {
    return link.speed_for(std::fmod(now_s, 14.0) < 7.0 ? 2.0 : 12.0);
  };
  const SimulatedRun one = simulate(link, 200);
  const SimulatedRun two = simulate(link, 200);
  for (std::size_t i = 0; i < one.steps.size(); ++i) {
    REQUIRE(one.steps[i].decision.reason == two.steps[i].decision.reason);
  }
  CHECK(one.changes == two.changes);
}

TEST_CASE("policy: a step without measurements changes nothing") {
  LinkPolicy policy{PolicyOptions{}};
  for (std::uint64_t step = 0; step < 20; ++step) {
    StepInput input;
    input.step = step;
    CHECK_FALSE(policy.next(input).changed);
    CHECK(policy.best_time_s() == 0.0);
  }
  CHECK(policy.wanted_trials(16).size() == default_ladder().size());
  CHECK(policy.wanted_trials(2).size() == 2);
}

}  // namespace
}  // namespace longhaul::compression
