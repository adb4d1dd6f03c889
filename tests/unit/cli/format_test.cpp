// Numbers as people read them.
#include "daemon/cli/format.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using namespace longhaul::daemon;

TEST_CASE("format: bytes have three digits and decimal units") {
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(999) == "999 B");
  CHECK(format_bytes(1000) == "1.00 kB");
  CHECK(format_bytes(12'345) == "12.3 kB");
  CHECK(format_bytes(999'499) == "999 kB");
  CHECK(format_bytes(999'500) == "1.00 MB");
  CHECK(format_bytes(9'996'000) == "10.0 MB");
  CHECK(format_bytes(1'500'000'000) == "1.50 GB");
  CHECK(format_bytes(std::numeric_limits<std::uint64_t>::max()) == "18.4 EB");
}

TEST_CASE("format: counts and rates") {
  CHECK(format_count(999) == "999");
  CHECK(format_count(17'735'936) == "17.7 M");
  CHECK(format_rate(0.517) == "0.52");
  CHECK(format_rate(15'300.4) == "15300");
  CHECK(format_rate(NAN) == "-");
}

TEST_CASE("format: durations") {
  CHECK(format_duration(0) == "0:00");
  CHECK(format_duration(59.6) == "1:00");
  CHECK(format_duration(3599) == "59:59");
  CHECK(format_duration(3723) == "1:02:03");
  CHECK(format_duration(51 * 3600) == "2 d 3 h");
  CHECK(format_duration(-1) == "-");
  CHECK(format_duration(INFINITY) == "-");
  CHECK(format_duration(1e300) == "37037 d 0 h");
}

TEST_CASE("format: ages") {
  CHECK(format_age(0, 5000) == "-");
  CHECK(format_age(5000, 4000) == "now");  // two clocks
  CHECK(format_age(1000, 8000) == "7 s ago");
  CHECK(format_age(1000, 181'000) == "3 min ago");
  CHECK(format_age(1000, 7'201'000) == "2 h ago");
  CHECK(format_age(1000, 5 * 86'400'000ull + 1000) == "5 d ago");
}

TEST_CASE("format: a loss that is no number reads so") {
  CHECK(format_loss(5.43214) == "5.4321");
  CHECK(format_loss(NAN) == "nan");
}
