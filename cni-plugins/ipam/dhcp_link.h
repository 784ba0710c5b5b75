// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "cni-plugins/ipam/dhcp_client.h"
#include "cni-plugins/lib/link.h"
#include "cni-plugins/lib/os.h"

namespace keelson::cni::dhcp {

// A container's device, found again by path and name each time it is needed: an open descriptor, or
// a socket, would keep the namespace alive after its container is gone.
class Device {
 public:
  // kInvalidNetns or "no such device" when there is none. Sets the device up.
  static Or<Device> Find(const std::string& netns, const std::string& ifname);

  const Mac& mac() const { return mac_; }
  // OK if the same device is still there.
  Status StillThere() const;
  Status TakeDown() const;

 private:
  friend class Channel;
  std::string netns_;
  std::string ifname_;
  uint64_t netns_inode_ = 0;
  int index_ = 0;
  Mac mac_;
};

// Sockets to send and receive DHCP through a device; open while an answer is expected.
class Channel {
 public:
  Channel() = default;
  static Or<Channel> Open(const Device& device);

  bool open() const { return packet_.valid(); }
  int fd() const { return packet_.get(); }  // poll it for POLLIN
  // Sends to `out.server` from `out.packet.client` with the container's own routing, or broadcasts.
  Status Send(const Device& device, const Outgoing& out) const;
  // Calls `each` for every DHCP message that has arrived.
  void Receive(const std::function<void(const Packet&)>& each) const;

 private:
  Fd packet_;
};

}  // namespace keelson::cni::dhcp
