// Reads the few fields of the headers that the relay needs.
#include "daemon/wan/ip_packet.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>

namespace longhaul::daemon {

namespace {

constexpr unsigned char kNetwork[] = {10, 87};

}  // namespace

std::string site_address(std::size_t site) {
  return fmt::format("{}.{}.{}.1", kNetwork[0], kNetwork[1], site);
}

std::optional<std::size_t> destination_site(TunnelPacket packet, std::size_t sites) {
  constexpr std::size_t kHeader = 20;
  constexpr std::size_t kDestination = 16;
  if (packet.size() < kPacketPrefixBytes + kHeader) return std::nullopt;
  const auto header = packet.subspan(kPacketPrefixBytes);
  const auto address = header.subspan(kDestination, 4);
  const bool ours = header[0] >> 4 == 4 && address[0] == kNetwork[0] && address[1] == kNetwork[1];
  if (!ours || address[2] >= sites) return std::nullopt;
  return address[2];
}

std::size_t wire_bytes(TunnelPacket packet) {
  // Of the prefix, in the host's byte order: where the payload bytes of one segment are counted,
  // and where the TCP header begins, behind the IP header.
  constexpr std::size_t kSegmentBytesAt = 4;
  constexpr std::size_t kTcpStartAt = 6;
  constexpr std::size_t kTcpOffsetAt = 12;
  if (packet.size() <= kPacketPrefixBytes) return 0;
  const auto bytes = packet.size() - kPacketPrefixBytes;
  std::uint16_t segment_bytes = 0;
  std::uint16_t tcp_start = 0;
  std::memcpy(&segment_bytes, packet.data() + kSegmentBytesAt, sizeof segment_bytes);
  std::memcpy(&tcp_start, packet.data() + kTcpStartAt, sizeof tcp_start);
  if (segment_bytes == 0 || tcp_start + kTcpOffsetAt >= bytes) return bytes;
  const unsigned char offset = packet[kPacketPrefixBytes + tcp_start + kTcpOffsetAt];
  const std::size_t headers = tcp_start + std::size_t{4} * (offset >> 4);
  if (headers >= bytes) return bytes;
  const std::size_t segments = (bytes - headers + segment_bytes - 1) / segment_bytes;
  return bytes + (segments - 1) * headers;
}

}  // namespace longhaul::daemon
