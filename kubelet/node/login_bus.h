// SPDX-License-Identifier: Apache-2.0
// systemd-logind, as far as a graceful shutdown needs it: who delays a shutdown, for how long, and
// when one begins (systemd's "Inhibitor Locks", org.freedesktop.login1(5)).
//
// Loop only. One call at a time, NextShutdown included: each reads the connection until it has what
// it wants. Cancelling a call is fine. Errors: NotFound or Unavailable (no bus, no logind, or the
// connection broke: connect anew), DeadlineExceeded (no answer in time), else what the bus said.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/loop.h"
#include "base/task.h"

using sd_bus = struct sd_bus;

namespace keelson::kubelet {

class LoginBus {
 public:
  virtual ~LoginBus() = default;
  // InhibitDelayMaxUSec: how long logind lets delays last.
  virtual base::Task<absl::StatusOr<base::Nanos>> InhibitDelay() = 0;
  // Asks logind for at least that much. It takes effect some time later.
  virtual base::Task<absl::Status> RequestInhibitDelay(base::Nanos delay) = 0;
  // Delays shutdowns while the descriptor is open.
  virtual base::Task<absl::StatusOr<base::UniqueFd>> Inhibit() = 0;
  // The next PrepareForShutdown since the connection was made: true, one begins; false, it was
  // called off. None is lost while nobody waits.
  virtual base::Task<absl::StatusOr<bool>> NextShutdown() = 0;
};

struct LoginBusOptions {
  std::string config_dir = "/etc/systemd/logind.conf.d";  // gets 99-kubelet.conf
  base::Nanos call_timeout = std::chrono::seconds(25);
};

// Over the system bus.
base::Task<absl::StatusOr<std::unique_ptr<LoginBus>>> ConnectLoginBus(base::Loop& loop,
                                                                      LoginBusOptions options);
// Over a connection that was started; takes the reference.
base::Task<absl::StatusOr<std::unique_ptr<LoginBus>>> UseLoginBus(base::Loop& loop, sd_bus* bus,
                                                                  LoginBusOptions options);

}  // namespace keelson::kubelet
