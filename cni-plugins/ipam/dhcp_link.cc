// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/dhcp_link.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>

namespace keelson::cni::dhcp {

namespace {

constexpr size_t kMaxDatagram = 65536;

Or<uint64_t> InodeOf(const NetNs& ns) {
  struct stat st {};
  if (::fstat(ns.fd(), &st) < 0) return Status::Errno(errno, "stat network namespace");
  return static_cast<uint64_t>(st.st_ino);
}

// Unfragmented UDP to port 68; everything else would wake us for nothing.
Status FilterForClient(int fd) {
  static sock_filter kProgram[] = {
      BPF_STMT(BPF_LD + BPF_B + BPF_ABS, 9),          // protocol
      BPF_JUMP(BPF_JMP + BPF_JEQ + BPF_K, 17, 0, 6),  // UDP
      BPF_STMT(BPF_LD + BPF_H + BPF_ABS, 6),          // fragment
      BPF_JUMP(BPF_JMP + BPF_JSET + BPF_K, 0x3fff, 4, 0),
      BPF_STMT(BPF_LDX + BPF_B + BPF_MSH, 0),  // header length
      BPF_STMT(BPF_LD + BPF_H + BPF_IND, 2),   // destination port
      BPF_JUMP(BPF_JMP + BPF_JEQ + BPF_K, 68, 0, 1),
      BPF_STMT(BPF_RET + BPF_K, kMaxDatagram),
      BPF_STMT(BPF_RET + BPF_K, 0),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(kProgram)), kProgram};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) < 0) {
    return Status::Errno(errno, "filter DHCP packets");
  }
  return {};
}

sockaddr_ll AllOn(int index) {
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_protocol = htons(ETH_P_IP);
  where.sll_ifindex = index;
  where.sll_halen = 6;
  std::memset(where.sll_addr, 0xff, 6);
  return where;
}

sockaddr_in Address(const Ip& ip, uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  std::memcpy(&a.sin_addr, ip.data(), 4);
  return a;
}

}  // namespace

Or<Device> Device::Find(const std::string& netns, const std::string& ifname) {
  CNI_LET(const NetNs ns, NetNs::Open(netns));
  CNI_LET(Rtnl rtnl, Rtnl::OpenIn(ns));
  CNI_LET(const Link link, rtnl.ByName(ifname));
  if (!link.up()) {
    LinkChange change;
    change.up = true;
    CNI_TRY(rtnl.Change(link.index, change));
  }
  Device d;
  d.netns_ = netns;
  d.ifname_ = ifname;
  CNI_LET(d.netns_inode_, InodeOf(ns));
  d.index_ = link.index;
  d.mac_ = link.mac;
  return d;
}

Status Device::StillThere() const {
  CNI_LET(const NetNs ns, NetNs::Open(netns_));
  CNI_LET(const uint64_t inode, InodeOf(ns));
  if (inode != netns_inode_) return Status::Internal(netns_ + " is another namespace now");
  CNI_LET(Rtnl rtnl, Rtnl::OpenIn(ns));
  CNI_LET(const Link link, rtnl.ByName(ifname_));
  if (link.index != index_) return Status::Internal(ifname_ + " is another device now");
  return {};
}

Status Device::TakeDown() const {
  CNI_TRY(StillThere());
  CNI_LET(const NetNs ns, NetNs::Open(netns_));
  CNI_LET(Rtnl rtnl, Rtnl::OpenIn(ns));
  LinkChange change;
  change.up = false;
  return rtnl.Change(index_, change);
}

Or<Channel> Channel::Open(const Device& device) {
  CNI_TRY(device.StillThere());
  CNI_LET(const NetNs ns, NetNs::Open(device.netns_));
  return ns.Run([&]() -> Or<Channel> {
    Channel channel;
    channel.packet_ = Fd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!channel.packet_.valid()) return Status::Errno(errno, "packet socket");
    CNI_TRY(FilterForClient(channel.packet_.get()));
    const sockaddr_ll where = AllOn(device.index_);
    if (::bind(channel.packet_.get(), reinterpret_cast<const sockaddr*>(&where), sizeof where) <
        0) {
      return Status::Errno(errno, "bind packet socket to " + device.ifname_);
    }
    return channel;
  });
}

Status Channel::Send(const Device& device, const Outgoing& out) const {
  const std::string payload = Encode(out.packet);
  if (!out.server) {
    const std::string datagram = BroadcastDatagram(payload);
    const sockaddr_ll to = AllOn(device.index_);
    if (::sendto(packet_.get(), datagram.data(), datagram.size(), 0,
                 reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0) {
      return Status::Errno(errno, "broadcast on " + device.ifname_);
    }
    return {};
  }
  CNI_LET(const NetNs ns, NetNs::Open(device.netns_));
  return ns.Run([&]() -> Status {
    const Fd udp(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int one = 1;
    ::setsockopt(udp.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const sockaddr_in from = Address(out.packet.client, 68);
    const sockaddr_in to = Address(*out.server, 67);
    if (::bind(udp.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) < 0 ||
        ::sendto(udp.get(), payload.data(), payload.size(), 0,
                 reinterpret_cast<const sockaddr*>(&to), sizeof to) < 0) {
      return Status::Errno(errno, "send to DHCP server " + out.server->ToString());
    }
    return {};
  });
}

void Channel::Receive(const std::function<void(const Packet&)>& each) const {
  static std::string buffer(kMaxDatagram, '\0');
  while (true) {
    const ssize_t n = ::recv(packet_.get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) return;
    const auto payload = PayloadForClient({buffer.data(), static_cast<size_t>(n)});
    if (!payload) continue;
    if (const auto packet = Decode(*payload)) each(*packet);
  }
}

}  // namespace keelson::cni::dhcp
