// SPDX-License-Identifier: Apache-2.0
#pragma once

// One lease's life (RFC 2131, section 4.4) as a pure state machine: it is told the time and what
// arrived, and says what to send and when to be asked again.

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cni-plugins/ipam/dhcp_packet.h"

namespace keelson::cni::dhcp {

// Time since boot, suspension included: a laptop that slept through its lease has lost it.
struct Clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<Clock>;
  static constexpr bool is_steady = true;
  static time_point now();
};

struct ClientOptions {
  std::string client_id;
  Mac mac;
  bool broadcast = false;                           // ask for broadcast answers
  std::map<uint8_t, std::string> provide;           // options to send along
  std::vector<uint8_t> request;                     // options to ask for
  std::chrono::milliseconds resend_max{62000};      // longest pause between repeats
  std::chrono::milliseconds give_up_after{208000};  // when no server answers at first
};

struct Outgoing {
  Packet packet;
  std::optional<Ip> server;  // send to it directly; else broadcast
};

class Client {
 public:
  enum class State {
    kSelecting,   // DISCOVER sent
    kRequesting,  // REQUEST for an offer sent
    kBound,
    kRenewing,   // asking the server that gave the lease
    kRebinding,  // asking any server
    kLost,       // expired or refused: the address must not be used any more
    kFailed,     // no lease in the time allowed
  };

  // `xid` is random: the only thing that tells our answers from forged ones.
  Client(ClientOptions options, uint32_t xid) : options_(std::move(options)), xid_(xid) {}

  std::vector<Outgoing> Start(Clock::time_point now);
  std::vector<Outgoing> OnTime(Clock::time_point now);
  std::vector<Outgoing> OnPacket(const Packet& packet, Clock::time_point now);
  // The message that gives the lease back. REQUIRES: has_lease().
  Outgoing Release() const;

  State state() const { return state_; }
  bool has_lease() const { return ack_.has_value(); }
  // Set once the first ACK came, until the lease is lost.
  const std::optional<Packet>& ack() const { return ack_; }
  // When OnTime wants to be called; nullopt: never again.
  std::optional<Clock::time_point> deadline() const;
  // Whether answers are expected now. In between, the sockets may be closed.
  bool talking() const {
    return state_ == State::kSelecting || state_ == State::kRequesting ||
           state_ == State::kRenewing || state_ == State::kRebinding;
  }
  // The lease has to be asked for again from the start of renewal, e.g. because CHECK wants to
  // know.
  std::vector<Outgoing> RenewNow(Clock::time_point now);

 private:
  Packet Base(MessageType type) const;
  Outgoing Request() const;
  std::vector<Outgoing> Send(Outgoing message, Clock::time_point now);
  void Bind(const Packet& ack, Clock::time_point now);

  ClientOptions options_;
  uint32_t xid_;
  State state_ = State::kSelecting;
  Clock::time_point started_{};
  Clock::time_point resend_{};         // next repeat while talking
  std::chrono::milliseconds pause_{};  // before it
  std::optional<Packet> offer_;
  std::optional<Packet> ack_;
  Clock::time_point renew_{};
  Clock::time_point rebind_{};
  Clock::time_point expire_{};
};

}  // namespace keelson::cni::dhcp
