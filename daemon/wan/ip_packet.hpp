// What the relay must know of a packet: which site it is for, and what it takes on the wire.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace longhaul::daemon {

// A packet as a TUN device hands it over: a virtio_net_hdr, then the IP packet, or several segments
// of a TCP connection with their common headers once (see linux/virtio_net.h).
inline constexpr std::size_t kPacketPrefixBytes = 10;
inline constexpr std::size_t kMostPacketBytes = 65'536;  // behind the prefix
using TunnelPacket = std::span<const unsigned char>;

// "10.87.SITE.1", for a site below 256.
[[nodiscard]] std::string site_address(std::size_t site);

// The site that an IPv4 packet is for; empty if for none of so many.
[[nodiscard]] std::optional<std::size_t> destination_site(TunnelPacket packet, std::size_t sites);

// All segments with their headers, without the prefix. Of a packet that contradicts itself, what is
// there.
[[nodiscard]] std::size_t wire_bytes(TunnelPacket packet);

}  // namespace longhaul::daemon
