// An integer payload from a peer. The first two bytes say how many values the header announced.
#include "compression/codec.hpp"

#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t count = data[0] + std::size_t{256} * data[1];
  const auto payload = std::as_bytes(std::span(data, size).subspan(2));
  std::vector<std::int64_t> values(count, -1);
  if (longhaul::compression::decode_integers(payload, values).has_error()) return 0;
  // What was accepted is never negative, and means the same when it is sent on.
  const auto again = longhaul::compression::encode_integers(values);
  if (again.has_error()) std::abort();
  std::vector<std::int64_t> back(count, -1);
  if (longhaul::compression::decode_integers(again.value(), back).has_error()) std::abort();
  if (back != values) std::abort();
  return 0;
}
