// SPDX-License-Identifier: Apache-2.0
// Probes and lifecycle hooks, as the pod worker uses them. Loop only.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/task.h"
#include "base/time.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::probes {

using PodPtr = std::shared_ptr<const k8s::v1::Pod>;

enum class Result { kUnknown, kSuccess, kFailure };

// Results of running containers, by container id. No entry: no probe of that kind, or no result yet.
struct Results {
  std::map<std::string, Result> liveness;
  std::map<std::string, Result> startup;
  std::map<std::string, Result> readiness;
};

// One running instance of a container.
struct Target {
  std::string container;  // its name in the spec
  std::string id;
  base::WallTime started_at;
};

class Prober {
 public:
  virtual ~Prober() = default;
  // What runs of a pod now: workers are made for new targets and end with theirs. `pod_ips` may be
  // empty before the sandbox is there.
  virtual void Update(PodPtr pod, std::vector<Target> running, std::vector<std::string> pod_ips) = 0;
  // Valid until the next call.
  virtual const Results& ResultsOf(const std::string& pod_uid) const = 0;
  // Liveness and startup probes stop at once; readiness goes on until Remove.
  virtual void BeginTermination(const std::string& pod_uid) = 0;
  virtual void Remove(const std::string& pod_uid) = 0;
};

struct HookTarget {
  std::string container;
  std::string id;
  std::vector<std::string> pod_ips;
};

// Runs lifecycle hooks (postStart, preStop: exec, httpGet, sleep). Cancelling stops waiting.
class HookRunner {
 public:
  virtual ~HookRunner() = default;
  // OK when the container has no such hook. The error text is fit for the container's status; it may
  // show what the hook printed.
  virtual base::Task<absl::Status> PostStart(PodPtr pod, HookTarget target) = 0;
  // The same, cut off after `limit`: what is left of the grace period. Cut off is OK.
  virtual base::Task<absl::Status> PreStop(PodPtr pod, HookTarget target, base::Nanos limit) = 0;
};

bool HasPostStart(const k8s::v1::Container& container);
bool HasPreStop(const k8s::v1::Container& container);

}  // namespace keelson::probes
