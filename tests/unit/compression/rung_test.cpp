// Rungs: names and what they refuse, densities, the ladder.
#include "compression/rung.hpp"

#include <doctest/doctest.h>

#include <string>

namespace longhaul::compression {
namespace {

std::string refusal(std::string_view text) {
  const auto parsed = parse_rung(text);
  return parsed.has_error() ? parsed.error().message : "accepted";
}

TEST_CASE("rung: a name parses to its rung, and the rung prints the name") {
  for (const std::string_view text :
       {"fp32", "bf16", "int16/128", "int16/32-rotated-stochastic", "topk5%-int16/256", "int8/128",
        "int6/64", "int4/64-rotated", "int3/32-rotated-stochastic", "int4/256-stochastic-packed",
        "topk10%-int4/64-packed", "topk0.3%-int4/64", "topk50%-fp32", "gtopk1%-bf16",
        "topk25%-int8/128-packed-ownmask", "indexed1%", "indexed33.3333333%", "topk100%-fp32"}) {
    CAPTURE(text);
    const auto parsed = parse_rung(text);
    REQUIRE(parsed.has_value());
    CHECK(name(parsed.value()) == text);
    CHECK(check(parsed.value()).has_value());
    CHECK(unpack(pack(parsed.value())).value() == parsed.value());
  }
  CHECK(name(parse_rung("int16").value()) == "int16/128");
  CHECK(name(parse_rung("topk10%-int4").value()) == "topk10%-int4/64");
  CHECK(name(parse_rung("int3").value()) == "int3/32");
}

TEST_CASE("rung: what is no rung is refused with the reason") {
  for (const std::string_view text :
       {"", "fp31", "int8/", "int8/x", "topk10-int4", "topk%-int4", "topk10%", "topk-5%-fp32",
        "topk101%-fp32", "topk0%-fp32", "topknan%-fp32", "int4-packed-stochastic", "fp32 ",
        "indexed1%-ownmask", "topk1e1%-fp32", "int8/99999999"}) {
    CAPTURE(text);
    CHECK(refusal(text).find("is no rung") != std::string::npos);
  }
  CHECK(refusal("int8/100").find("block of 100") != std::string::npos);
  CHECK(refusal("bf16-packed").find("only integer formats") != std::string::npos);
  CHECK(refusal("int16-packed").find("16 bits are not packed") != std::string::npos);
  CHECK(refusal("topk10%-int4-rotated").find("rotated") != std::string::npos);
  CHECK(refusal("int8-ownmask").find("its own mask") != std::string::npos);
}

TEST_CASE("rung: the entries kept are the density's share, at least one") {
  CHECK(kept_entries(100'000'000, 768) == 77);
  CHECK(kept_entries(10'000'000, 1 << 24) == 167'772);
  CHECK(kept_entries(1, 100) == 1);
  CHECK(kept_entries(kWholeDensity, 5) == 5);
  CHECK(kept_entries(500'000'000, 5) == 3);
  CHECK(kept_entries(500'000'000, 0) == 0);
}

TEST_CASE("rung: the ladder begins dense, gets ever smaller, and every rung of it is sound") {
  const auto ladder = default_ladder();
  REQUIRE(ladder.size() == 11);
  CHECK(name(ladder.front()) == "fp32");
  CHECK(name(ladder[6]) == "topk10%-int4/64-packed");
  CHECK(name(ladder.back()) == "topk0.3%-int4/64-packed");
  for (std::size_t i = 0; i < ladder.size(); ++i) {
    CHECK(check(ladder[i]).has_value());
    CHECK(parse_rung(name(ladder[i])).value() == ladder[i]);
    if (i > 0) CHECK(ladder[i].density <= ladder[i - 1].density);
  }
}

TEST_CASE("rung: the backward of a top-k rung is its value format at the forward's entries") {
  CHECK(name(masked_values_of(parse_rung("topk10%-int4-packed").value())) == "int4/64-packed");
  CHECK(name(masked_values_of(parse_rung("topk10%-int4-ownmask").value())) ==
        "topk10%-int4/64-ownmask");
  CHECK(name(masked_values_of(parse_rung("indexed1%").value())) == "indexed1%");
  CHECK(name(masked_values_of(parse_rung("int8").value())) == "int8/128");
}

}  // namespace
}  // namespace longhaul::compression
