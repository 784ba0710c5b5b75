// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/ipam/dhcp_client.h"

#include <time.h>

#include <algorithm>

namespace keelson::cni::dhcp {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr milliseconds kFirstPause{1000};
constexpr seconds kDefaultLease{3600};
constexpr uint32_t kForever = 0xffffffff;
constexpr seconds kLongLease{10LL * 365 * 86400};  // stands for "forever" without overflow
// RFC 2131, 4.4.5: repeats of a renewal half the remaining time apart, but not less than this.
constexpr seconds kLeastRenewalPause{60};

seconds Lasting(std::optional<uint32_t> value, seconds fallback) {
  if (!value) return fallback;
  return *value == kForever ? kLongLease : std::min<seconds>(seconds(*value), kLongLease);
}

std::string Raw(const Ip& ip) { return {reinterpret_cast<const char*>(ip.data()), 4}; }

}  // namespace

Clock::time_point Clock::now() {
  timespec t{};
  ::clock_gettime(CLOCK_BOOTTIME, &t);
  return time_point(std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec));
}

Packet Client::Base(MessageType type) const {
  Packet p;
  p.xid = xid_;
  p.mac = options_.mac;
  p.broadcast = options_.broadcast;
  p.options = options_.provide;
  p.options.try_emplace(kClientId, std::string(1, '\0') + options_.client_id);
  p.options[kMessageType] = std::string(1, static_cast<char>(type));
  if (!options_.request.empty() && type != MessageType::kRelease) {
    p.options[kParameterList] = std::string(options_.request.begin(), options_.request.end());
  }
  return p;
}

Outgoing Client::Request() const {
  Outgoing out{Base(MessageType::kRequest), std::nullopt};
  if (state_ == State::kRequesting) {
    out.packet.options[kRequestedIp] = Raw(offer_->yours);
    out.packet.options[kServerId] = offer_->options.at(kServerId);
  } else {
    out.packet.client = ack_->yours;
    out.packet.broadcast = false;  // we have an address to be answered at
    if (state_ == State::kRenewing) out.server = ack_->Address(kServerId);
  }
  return out;
}

// Sends and sets the time of the repeat: doubling pauses at first, RFC 2131's for renewals.
std::vector<Outgoing> Client::Send(Outgoing message, Clock::time_point now) {
  if (has_lease()) {
    const Clock::time_point end = state_ == State::kRenewing ? rebind_ : expire_;
    const auto half = std::chrono::duration_cast<milliseconds>(end - now) / 2;
    resend_ = now + std::max<milliseconds>(half, kLeastRenewalPause);
  } else {
    resend_ = now + pause_;
    pause_ = std::min(pause_ * 2, options_.resend_max);
  }
  return {std::move(message)};
}

std::vector<Outgoing> Client::Start(Clock::time_point now) {
  started_ = now;
  state_ = State::kSelecting;
  pause_ = kFirstPause;
  return Send({Base(MessageType::kDiscover), std::nullopt}, now);
}

std::optional<Clock::time_point> Client::deadline() const {
  switch (state_) {
    case State::kSelecting:
    case State::kRequesting:
      return std::min(resend_, started_ + options_.give_up_after);
    case State::kBound:
      return renew_;
    case State::kRenewing:
      return std::min(resend_, rebind_);
    case State::kRebinding:
      return std::min(resend_, expire_);
    case State::kLost:
    case State::kFailed:
      return std::nullopt;
  }
  return std::nullopt;
}

std::vector<Outgoing> Client::OnTime(Clock::time_point now) {
  const auto due = deadline();
  if (!due || now < *due) return {};
  switch (state_) {
    case State::kSelecting:
    case State::kRequesting:
      if (now >= started_ + options_.give_up_after) {
        state_ = State::kFailed;
        return {};
      }
      // An offer that is not confirmed may be another server's business by now: ask all again.
      state_ = State::kSelecting;
      return Send({Base(MessageType::kDiscover), std::nullopt}, now);
    case State::kBound:
      return RenewNow(now);
    case State::kRenewing:
      if (now >= rebind_) state_ = State::kRebinding;
      return Send(Request(), now);
    case State::kRebinding:
      if (now >= expire_) {
        state_ = State::kLost;
        ack_.reset();
        return {};
      }
      return Send(Request(), now);
    case State::kLost:
    case State::kFailed:
      return {};
  }
  return {};
}

std::vector<Outgoing> Client::RenewNow(Clock::time_point now) {
  if (!has_lease()) return {};
  state_ = State::kRenewing;
  return Send(Request(), now);
}

std::vector<Outgoing> Client::OnPacket(const Packet& p, Clock::time_point now) {
  if (!p.reply || p.xid != xid_ || p.mac != options_.mac || !talking()) return {};
  const std::optional<MessageType> type = p.type();
  if (state_ == State::kSelecting) {
    if (type != MessageType::kOffer || !p.Address(kServerId) || p.yours.IsZero()) return {};
    offer_ = p;
    state_ = State::kRequesting;
    pause_ = kFirstPause;
    return Send(Request(), now);
  }
  if (type == MessageType::kAck && !p.yours.IsZero()) {
    // Another address is no answer to a renewal: the container has the one it has.
    if (has_lease() && p.yours != ack_->yours) return {};
    Bind(p, now);
    return {};
  }
  if (type != MessageType::kNak) return {};
  if (has_lease()) {
    state_ = State::kLost;
    ack_.reset();
    return {};
  }
  state_ = State::kSelecting;
  return Send({Base(MessageType::kDiscover), std::nullopt}, now);
}

void Client::Bind(const Packet& ack, Clock::time_point now) {
  ack_ = ack;
  state_ = State::kBound;
  const seconds lease = Lasting(ack.Seconds(kLeaseTime), kDefaultLease);
  // Times out of order would have us ask for ever or never.
  const seconds rebind = std::min(Lasting(ack.Seconds(kRebindingTime), lease * 85 / 100), lease);
  const seconds renew = std::min(Lasting(ack.Seconds(kRenewalTime), lease / 2), rebind);
  renew_ = now + std::max(renew, seconds(1));
  rebind_ = now + std::max(rebind, seconds(1));
  expire_ = now + std::max(lease, seconds(1));
}

Outgoing Client::Release() const {
  Outgoing out{Base(MessageType::kRelease), ack_->Address(kServerId)};
  out.packet.client = ack_->yours;
  out.packet.broadcast = false;
  if (out.server) out.packet.options[kServerId] = Raw(*out.server);
  return out;
}

}  // namespace keelson::cni::dhcp
