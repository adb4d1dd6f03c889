// The fields of packets that the relay reads, also of packets that lie.
#include "daemon/wan/ip_packet.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

using namespace longhaul::daemon;

namespace {

// Prefix, 20 bytes of IP header to 10.87.2.1, 32 bytes of TCP header, payload.
std::vector<unsigned char> packet_of(std::size_t payload, std::uint16_t segment_bytes) {
  std::vector<unsigned char> packet(kPacketPrefixBytes + 52 + payload);
  constexpr std::uint16_t kTcpStart = 20;
  std::memcpy(&packet[4], &segment_bytes, sizeof segment_bytes);
  std::memcpy(&packet[6], &kTcpStart, sizeof kTcpStart);
  unsigned char* ip = &packet[kPacketPrefixBytes];
  ip[0] = 0x45;
  constexpr std::array<unsigned char, 4> kAddress{10, 87, 2, 1};
  std::memcpy(ip + 16, kAddress.data(), kAddress.size());
  ip[20 + 12] = 8 << 4;
  return packet;
}

}  // namespace

TEST_CASE("ip packet: its site is the third number of its address") {
  CHECK(site_address(2) == "10.87.2.1");
  auto packet = packet_of(0, 0);
  CHECK(destination_site(packet, 3) == std::size_t{2});
  CHECK_FALSE(destination_site(packet, 2));
  packet[kPacketPrefixBytes] = 0x65;  // version 6
  CHECK_FALSE(destination_site(packet, 3));
  packet = packet_of(0, 0);
  packet[kPacketPrefixBytes + 17] = 88;  // another network
  CHECK_FALSE(destination_site(packet, 3));
}

TEST_CASE("ip packet: segments take their headers on the wire, each its own") {
  CHECK(wire_bytes(packet_of(1448, 0)) == 1500);
  CHECK(wire_bytes(packet_of(1448, 1448)) == 1500);
  CHECK(wire_bytes(packet_of(1449, 1448)) == 1500 + 53);
  CHECK(wire_bytes(packet_of(10 * 1448, 1448)) == 10 * 1500);
}

TEST_CASE("ip packet: one that is cut or contradicts itself is read within its bounds") {
  const auto whole = packet_of(100, 10);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const std::vector<unsigned char> cut(whole.begin(),
                                         whole.begin() + static_cast<std::ptrdiff_t>(length));
    CHECK(destination_site(cut, 3).has_value() == (length >= kPacketPrefixBytes + 20));
    CHECK(wire_bytes(cut) + kPacketPrefixBytes >= length);
  }
  auto lying = packet_of(4, 1);
  lying[kPacketPrefixBytes + 32] = 0xf0;  // a header of 60 bytes
  CHECK(wire_bytes(lying) == 56);
  std::memset(&lying[6], 0xff, 2);
  CHECK(wire_bytes(lying) == 56);
}
