// SPDX-License-Identifier: Apache-2.0
// What every pod worker works with. All of it outlives the workers; each part is an interface with a
// simulated twin in test/simulation.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "base/loop.h"
#include "cgroups/pod_cgroups.h"
#include "cri/runtime.h"
#include "csi/objects.h"
#include "csi/volumes.h"
#include "kubelet/event_recorder.h"
#include "kubelet/pleg.h"
#include "kubelet/pod_config.h"
#include "kubelet/pod_files.h"
#include "kubelet/pod_images.h"
#include "kubelet/pod_observer.h"
#include "kubelet/start_gate.h"
#include "probes/prober.h"

namespace keelson::kubelet {

// Settings of the node that workers read.
struct WorkerOptions {
  base::Nanos sync_frequency = std::chrono::minutes(1);
  base::Nanos crash_backoff_initial = std::chrono::seconds(10);
  base::Nanos crash_backoff_max = std::chrono::seconds(300);
  base::Nanos retry_initial = std::chrono::milliseconds(500);
  base::Nanos retry_max = std::chrono::seconds(10);
  // Containers and sandboxes the runtime is asked to start at the same time.
  int starts_at_once = 6;
  std::string runtime_name = "containerd";
  // Runtime handlers ("": the default one) that can make mounts below a read-only one read-only too.
  std::set<std::string> recursive_read_only_handlers;
};

struct PodServices {
  base::Loop& loop;
  cri::Runtime& runtime;
  Pleg& pleg;
  PodFiles& files;
  csi::PodVolumes& volumes;
  cgroups::PodCgroups& cgroups;
  ImageSource& images;
  EventRecorder& events;
  PodConfigurator& config;
  probes::Prober& prober;
  probes::HookRunner& hooks;
  WorkerOptions options;
  csi::ObjectSource* objects = nullptr;  // null without an API server
  PodObserver* observer = nullptr;  // null: nobody counts
  StartGate starts{loop.clock(), options.starts_at_once};
};

}  // namespace keelson::kubelet
