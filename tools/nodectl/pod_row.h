// SPDX-License-Identifier: Apache-2.0
// What the columns of `get pods` say about a pod: kubectl's rules (server-side printing of pods).
// Pure.
#pragma once

#include <string>

#include "base/time.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::nodectl {

struct PodRow {
  std::string ns, name;
  int ready = 0, total = 0;
  std::string status;    // Running, Init:0/1, CrashLoopBackOff, Terminating, ...
  std::string restarts;  // 3 (10s ago)
  std::string age;
  std::string ip, node, nominated_node, readiness_gates;  // wide
};

PodRow MakePodRow(const k8s::v1::Pod& pod, base::WallTime now);

// Time since `time`, for people; <unknown> when it is not set.
std::string Since(const k8s::meta::v1::Time& time, base::WallTime now);

}  // namespace keelson::nodectl
