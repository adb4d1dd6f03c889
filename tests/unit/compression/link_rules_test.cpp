// Rules of links without memory: AdaTopK by hand, annealing, small moves, backward rungs.
#include "compression/link_rules.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::compression {
namespace {

Rung rung(std::string_view text) { return parse_rung(text).value(); }

TEST_CASE("adatopk: the published rule, by hand") {
  // r = 100, R = 1, 4, 30: 300 R / 30 is 10, 40 and 300.
  const auto of = [](double dense_s) {
    return AdaTopK{.ratio = 100.0, .dense_s = dense_s, .slowest_s = 30.0};
  };
  CHECK(adatopk_ratio(of(1.0)) == doctest::Approx(10.0));
  CHECK(adatopk_ratio(of(4.0)) == doctest::Approx(40.0));
  CHECK(adatopk_ratio(of(30.0)) == doctest::Approx(300.0));
  CHECK(name(adatopk_rung(of(1.0))) == "indexed10%");
  CHECK(name(adatopk_rung(of(4.0))) == "indexed2.5%");
  CHECK(adatopk_rung(of(30.0)).density == 3'333'333);
}

TEST_CASE("adatopk: a link of at most R_max / (3 r) stays dense") {
  const auto of = [](double dense_s) {
    return AdaTopK{.ratio = 100.0, .dense_s = dense_s, .slowest_s = 30.0};
  };
  CHECK(adatopk_rung(of(0.1)) == Rung{});
  CHECK(adatopk_rung(of(0.05)) == Rung{});
  CHECK(adatopk_rung(of(0.11)).selection == Selection::kIndexed);
}

TEST_CASE("adatopk: every compressed link ends at the same time") {
  for (const double dense_s : {0.7, 1.0, 4.0, 30.0}) {
    const AdaTopK link{.ratio = 100.0, .dense_s = dense_s, .slowest_s = 30.0};
    const double density = adatopk_rung(link).density / 1e9;
    CHECK(dense_s * 3.0 * density == doctest::Approx(30.0 / 100.0).epsilon(1e-5));
  }
}

TEST_CASE("adatopk: times that make no sense leave the link dense") {
  for (const double slowest : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK(adatopk_rung({.ratio = 100.0, .dense_s = 0.0, .slowest_s = slowest}) == Rung{});
    CHECK(adatopk_rung({.ratio = 100.0, .dense_s = 1.0, .slowest_s = slowest}) == Rung{});
  }
  CHECK(adatopk_rung({.ratio = 1e6, .dense_s = 1e300, .slowest_s = 1e300}).density > 0);
}

TEST_CASE("annealing: a density of 10% doubles at each quarter of the last tenth") {
  const Annealing tenth{.share = 0.1, .steps = 400, .start = 100'000'000};
  CHECK(annealed_density(tenth, 359) == 0);
  CHECK(annealed_density(tenth, 360) == 200'000'000);
  CHECK(annealed_density(tenth, 369) == 200'000'000);
  CHECK(annealed_density(tenth, 370) == 400'000'000);
  CHECK(annealed_density(tenth, 380) == 800'000'000);
  CHECK(annealed_density(tenth, 390) == kWholeDensity);
  CHECK(annealed_density(tenth, 399) == kWholeDensity);
  CHECK(annealed_density(tenth, 400) == 0);
}

TEST_CASE("annealing: never falls, at most doubles, ends dense, whatever the numbers") {
  for (const std::uint32_t start : {1u, 3'000'000u, 60'000'000u, 500'000'001u, kWholeDensity}) {
    for (const std::uint64_t steps : {100ull, 1000ull, 7777ull}) {
      CAPTURE(start);
      CAPTURE(steps);
      const Annealing annealing{.share = 0.3, .steps = steps, .start = start};
      std::uint64_t last = start;
      bool smooth = true;
      for (std::uint64_t step = 0; step < steps; ++step) {
        const std::uint64_t density = annealed_density(annealing, step);
        if (density == 0) continue;
        smooth = smooth && density >= last && density <= 2 * last;
        last = density;
      }
      CHECK(smooth);
      CHECK(last == kWholeDensity);
    }
  }
  CHECK_FALSE(anneals({.share = 0.0, .steps = 100, .start = 1}, 99));
  CHECK_FALSE(anneals({.share = 0.1, .steps = 0, .start = 1}, 0));
}

TEST_CASE("moves: density at most halves or doubles, and the goal is reached") {
  const auto ladder = default_ladder();
  for (const Rung& from : ladder) {
    for (const Rung& to : ladder) {
      CAPTURE(name(from));
      CAPTURE(name(to));
      Rung at = from;
      int moves = 0;
      bool sound = true;
      while (at != to && moves < 20) {
        const Rung next = towards(at, to);
        sound = sound && check(next).has_value() && 2.0 * next.density >= at.density &&
                next.density <= 2.0 * at.density;
        at = next;
        ++moves;
      }
      CHECK(sound);
      CHECK(at == to);
    }
  }
  CHECK(name(towards(rung("int8"), rung("topk3%-int4-packed"))) == "topk50%-int4/64-packed");
  CHECK(towards(rung("fp32"), rung("topk50%-int8-packed")) == rung("topk50%-int8-packed"));
  CHECK(name(towards(rung("topk10%-int4-packed"), rung("int8"))) == "topk20%-int8/128-packed");
  CHECK(name(towards(rung("topk10%-int4-packed"), rung("fp32"))) == "topk20%-fp32");
}

TEST_CASE("backward: never coarser values than the forward's, and its mask") {
  const std::vector<Rung> values = value_rungs(default_ladder());
  std::string names;
  for (const Rung& value : values) names += name(value) + " ";
  CHECK(names == "fp32 bf16 int8/128 int6/64-packed int4/64-packed ");
  const auto sent = [](std::string_view chosen, std::string_view forward) {
    return name(backward_rung(rung(chosen), rung(forward)));
  };
  CHECK(sent("int4-packed", "topk10%-int4-packed") == "int4/64-packed");
  CHECK(sent("int4-packed", "topk25%-int8-packed") == "int8/128-packed");
  CHECK(sent("int4-packed", "int8") == "int8/128");
  CHECK(sent("int8", "topk10%-int4-packed") == "int8/128-packed");
  CHECK(sent("bf16", "topk10%-int4-packed") == "bf16");
  CHECK(sent("int8", "fp32") == "fp32");
  CHECK(sent("int8", "indexed1%") == "indexed1%");
}

TEST_CASE("distortion: stricter for given weights, for gradients, and for many boundaries") {
  const auto budget = [](bool backward, bool from_scratch, std::size_t boundaries) {
    return default_distortion(
        {.backward = backward, .from_scratch = from_scratch, .boundaries = boundaries});
  };
  CHECK(budget(false, true, 3) == doctest::Approx(0.6));
  CHECK(budget(false, true, 1) == doctest::Approx(0.6));
  CHECK(budget(false, true, 6) == doctest::Approx(1.0 - std::sqrt(0.4)));
  CHECK(budget(false, false, 1) == doctest::Approx(0.05));
  CHECK(budget(false, false, 3) == doctest::Approx(0.01695).epsilon(1e-3));
  CHECK(budget(true, true, 3) == doctest::Approx(0.05));
  CHECK(budget(true, false, 3) == doctest::Approx(0.00671).epsilon(1e-3));
  CHECK(budget(true, false, 0) == budget(true, false, 1));
}

}  // namespace
}  // namespace longhaul::compression
