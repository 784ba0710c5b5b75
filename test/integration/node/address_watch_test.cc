// SPDX-License-Identifier: Apache-2.0
// Changes of addresses as the kernel tells them, in a network namespace of the test's own.
#include "kubelet/node/address_watch.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "base/fd.h"

namespace keelson::kubelet {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Gives the loopback link this address instead of the one it had.
void SetLoopback(const char* address) {
  const base::UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request = {};
  std::strcpy(request.ifr_name, "lo");
  auto* to = reinterpret_cast<sockaddr_in*>(&request.ifr_addr);
  to->sin_family = AF_INET;
  ASSERT_EQ(::inet_pton(AF_INET, address, &to->sin_addr), 1);
  ASSERT_EQ(::ioctl(fd.get(), SIOCSIFADDR, &request), 0) << std::strerror(errno);
}

TEST(WatchAddressesTest, ManyChangesAreToldOnceAndLaterOnesAgain) {
  ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << std::strerror(errno);
  base::Loop loop;
  base::TaskGroup tasks(loop);
  int told = 0;
  auto changed = [&] {
    if (++told == 1) SetLoopback("127.0.0.9");
    else loop.Stop();
  };
  tasks.Spawn("watch", WatchAddresses(loop, milliseconds(50), changed));
  loop.clock().Schedule(loop.clock().Monotonic(), [] {
    SetLoopback("127.0.0.7");
    SetLoopback("127.0.0.8");
  });
  loop.clock().Schedule(loop.clock().Monotonic() + seconds(30), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(told, 2);
}

}  // namespace
}  // namespace keelson::kubelet
