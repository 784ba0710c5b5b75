// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/address_watch.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "absl/status/statusor.h"
#include "base/errno_status.h"
#include "base/fd.h"
#include "base/log.h"

namespace keelson::kubelet {
namespace {

absl::StatusOr<base::UniqueFd> Listen() {
  base::UniqueFd fd(
      ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd.ok()) return base::ErrnoStatus("open", "a route netlink socket");
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  address.nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) < 0)
    return base::ErrnoStatus("listen for", "changes of addresses");
  return fd;
}

// What the messages say does not matter, nor that some were lost (ENOBUFS): all is read anew.
void Drain(int fd) {
  char buffer[8192];
  while (::recv(fd, buffer, sizeof(buffer), 0) >= 0 || errno == EINTR || errno == ENOBUFS) {
  }
}

}  // namespace

base::Task<void> WatchAddresses(base::Loop& loop, base::Nanos pause,
                                std::function<void()> changed) {
  auto fd = Listen();
  while (fd.ok()) {
    absl::Status ready = co_await base::WaitReadable(loop, fd->get());
    if (!ready.ok()) {
      fd = ready;
      break;
    }
    co_await base::Sleep(loop.clock(), pause);
    Drain(fd->get());
    changed();
  }
  KLOG_WARNING("Changes of the node's addresses are not noticed", {"err", fd.status()});
}

}  // namespace keelson::kubelet
