// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/netlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cni-plugins/lib/netns.h"
#include "cni-plugins/lib/status.h"

struct nl_sock;

namespace keelson::cni {

// A netlink message under construction, on libnl's builder: one message says all we want changed,
// where libnl-route's objects would fetch caches of every link and address of the node first.
class Message {
 public:
  // `flags` in addition to NLM_F_REQUEST; room for `size` bytes.
  explicit Message(uint16_t type, uint16_t flags = 0, size_t size = 4096);

  // Appends a zeroed fixed header. REQUIRES: before any attribute.
  template <typename T>
  T* Header() {
    return static_cast<T*>(nlmsg_reserve(msg_.get(), sizeof(T), NLMSG_ALIGNTO));
  }
  void Put(int attr, const void* data, size_t size);
  void U8(int attr, uint8_t v) { Put(attr, &v, sizeof v); }
  void U16(int attr, uint16_t v) { Put(attr, &v, sizeof v); }
  void U32(int attr, uint32_t v) { Put(attr, &v, sizeof v); }
  void Text(int attr, std::string_view v);  // with its final NUL
  void Flag(int attr) { Put(attr, nullptr, 0); }

  // Everything `f` puts goes inside attribute `attr`.
  template <typename F>
  void Nest(int attr, F&& f) {
    nlattr* const start = nla_nest_start(msg_.get(), attr);
    overflow_ |= start == nullptr;
    f();
    if (start) nla_nest_end_keep_empty(msg_.get(), start);
  }

  nl_msg* raw() { return msg_.get(); }
  bool overflow() const { return overflow_; }

 private:
  struct Free {
    void operator()(nl_msg* m) const { nlmsg_free(m); }
  };
  std::unique_ptr<nl_msg, Free> msg_;
  bool overflow_ = false;
};

// A netlink socket. It stays in the network namespace it was opened in, whatever the process does
// afterwards: one for the host and one for the container, and nobody needs to switch.
// Calls wait for the kernel's answer, which is synchronous.
class Netlink {
 public:
  // `protocol` is NETLINK_ROUTE, NETLINK_NETFILTER, ...; kInternal with errno on failure.
  static Or<Netlink> Open(int protocol);
  static Or<Netlink> OpenIn(const NetNs& ns, int protocol);

  // Sends and waits for the acknowledgement. sys_errno() is the kernel's answer; the message has
  // its extended text where it gave one. `what` begins the error's text.
  Status Do(Message& message, const std::string& what);
  // Sends and calls `each` for every message of the answer. A dump if the message has NLM_F_DUMP;
  // one interrupted by a concurrent change (NLM_F_DUMP_INTR) is asked for again, up to ten times:
  // `restart` then drops what was collected.
  Status Ask(
      Message& message, const std::string& what, const std::function<void(nlmsghdr*)>& each,
      const std::function<void()>& restart = [] {});

  // Sends from a child process that ends when the kernel is through with the request and holds
  // nothing but this socket meanwhile. The answer, numbered *seq, comes to WaitFor().
  Status SendFromChild(Message& message, const std::string& what, uint32_t* seq);

  // Multicast: joins `group`, then waits for messages until `done` returns true or `timeout_ms` is
  // over (kTryAgainLater). done(nullptr) says that messages were lost (ENOBUFS): look again
  // yourself.
  Status Join(int group);
  Status WaitFor(int timeout_ms, const std::string& what,
                 const std::function<bool(nlmsghdr*)>& done);

  // For senders with batches of their own (nftables).
  nl_sock* raw() { return sock_.get(); }
  int fd() const;

 private:
  struct Free {
    bool netfilter = false;  // closed by a child process, see netlink.cc
    void operator()(nl_sock* s) const;
  };
  Netlink(nl_sock* sock, bool netfilter) : sock_(sock, Free{netfilter}) {}
  Status Send(Message& message, const std::string& what, uint32_t* seq);
  Or<std::string> Receive(const std::string& what);
  Status AskOnce(Message& message, const std::string& what,
                 const std::function<void(nlmsghdr*)>& each, bool* interrupted);
  std::unique_ptr<nl_sock, Free> sock_;
  bool joined_ = false;
  std::vector<std::string> early_;  // multicast messages that came while an answer was awaited
};

}  // namespace keelson::cni
