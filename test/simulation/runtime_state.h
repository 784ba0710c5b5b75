// SPDX-License-Identifier: Apache-2.0
// A container runtime that drops and reorders events, and outlives the agents that talk to it.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "cri/runtime.h"
#include "test/simulation/random.h"

namespace keelson::simulation {

struct Faults {
  bool on = true;
  double fail_before = 0.03;  // refused, nothing happened
  double fail_after = 0.02;   // happened, but the answer was lost
  double slow = 0.03;         // seconds instead of milliseconds
  double drop_event = 0.1;
  bool down = false;          // nothing answers
};

// What runs. Lives as long as the world.
class RuntimeState {
 public:
  struct Sandbox {
    cri::rt::PodSandboxConfig config;
    bool ready = true;
    int64_t created_at = 0;
    std::string ip;
  };
  struct Container {
    std::string sandbox_id;
    cri::rt::ContainerConfig config;
    cri::rt::ContainerState state = cri::rt::CONTAINER_CREATED;
    int64_t created_at = 0, started_at = 0, finished_at = 0;
    int exit_code = 0;
    std::string reason;
  };
  using Listener = std::function<void(const cri::rt::ContainerEventResponse&)>;

  RuntimeState(base::VirtualClock& clock, Random& random) : clock_(clock), random_(random) {}

  std::map<std::string, Sandbox> sandboxes;
  std::map<std::string, Container> containers;
  Faults faults;
  bool serves_events = true;
  // Broken promises, seen as they happen.
  std::vector<std::string> violations;
  // Whether ending this pod's containers is right now what anybody asked for.
  std::function<bool(const std::string& uid)> may_stop = [](const std::string&) { return true; };

  std::string RunSandbox(cri::rt::PodSandboxConfig config);
  absl::StatusOr<std::string> Create(const std::string& sandbox, cri::rt::ContainerConfig config);
  absl::Status Start(const std::string& id);
  // Ends by itself after `grace` at the latest.
  void Terminate(const std::string& id, base::Nanos grace);
  void Exit(const std::string& id, int code, std::string reason);
  absl::Status StopSandbox(const std::string& id);
  absl::Status RemoveContainer(const std::string& id);
  absl::Status RemoveSandbox(const std::string& id);
  std::string UidOf(const Container& c) const;
  void Emit(const std::string& id, const std::string& uid, cri::rt::ContainerEventType type);
  void Listen(std::weak_ptr<Listener> listener) { listeners_.push_back(std::move(listener)); }

  base::VirtualClock& clock() { return clock_; }
  Random& random() { return random_; }
  int64_t NowNanos() const { return base::ToUnixNanos(clock_.Now()); }

 private:
  base::VirtualClock& clock_;
  Random& random_;
  uint64_t next_id_ = 1;
  std::list<std::weak_ptr<Listener>> listeners_;
};

// NotFound, as the runtime says it.
absl::Status NoSuch(const std::string& id);

}  // namespace keelson::simulation
