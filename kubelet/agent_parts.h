// SPDX-License-Identifier: Apache-2.0
// What an agent is made of. For the files of the agent only.
#pragma once

#include <memory>
#include <string>

#include "cgroups/factory.h"
#include "cri/grpc_runtime.h"
#include "csi/pod_volumes.h"
#include "kubelet/agent.h"
#include "kubelet/agent_settings.h"
#include "kubelet/agent_stats.h"
#include "kubelet/auth/api_reviews.h"
#include "kubelet/cluster/cluster.h"
#include "kubelet/cluster/service_accounts.h"
#include "kubelet/events.h"
#include "kubelet/idle_memory.h"
#include "kubelet/logs/log_rotator.h"
#include "kubelet/node/pressure.h"
#include "kubelet/node/runtime_state.h"
#include "kubelet/node/shutdown.h"
#include "kubelet/node_images.h"
#include "kubelet/pod_manager.h"
#include "kubelet/server/healthz.h"
#include "kubelet/server/kubelet_server.h"
#include "kubelet/server/local_api.h"
#include "kubelet/sources/file_source.h"
#include "kubelet/sources/url_source.h"
#include "probes/node_prober.h"

namespace keelson::kubelet {

// In the order it is made: what is above outlives what is below.
struct Agent::Parts {
  Parts(base::Loop& loop, const KubeletOptions& o, const std::string& node,
        std::unique_ptr<cri::GrpcRuntime> connected, std::unique_ptr<cgroups::PodCgroups> groups,
        NodeCapacity node_capacity, NodeAllocatable node_allocatable,
        NodeConfigOptions config_options, SysctlPolicy sysctls, NodeView& view,
        csi::ObjectSource* objects)
      : runtime(std::move(connected)),
        cgroups(std::move(groups)),
        capacity(node_capacity),
        allocatable(node_allocatable),
        events(loop.clock(), node),
        files(MakeDiskPodFiles(loop, PathsOf(o))),
        volumes(csi::MakePodVolumes(
            loop, {o.root_dir, allocatable.memory_bytes, objects, config_options.allocatable,
                   [this](const k8s::v1::Pod& pod, std::string message) {
                     events.PodEvent(pod, EventType::kWarning, "FailedMount", std::move(message));
                   }})),
        images(loop, *runtime, events, PullOf(o), KeyringPlaces(o)),
        config(MakeNodeConfig(*cgroups, events, std::move(config_options))),
        prober(loop, *runtime, ProbeEvents(),
               [this](const std::string& uid) { pods->OnProbeResult(uid); }),
        idle_memory(loop),
        pleg(loop, *runtime, PlegOptions(),
             [this](const PodUid& uid) {
               idle_memory.Touch();
               pods->OnRuntimeChange(uid);
             }),
        admission(allocatable, std::move(sysctls)),
        services{loop,   *runtime, pleg,   *files,         *volumes,    *cgroups, images,
                 events, *config,  prober, prober.hooks(), WorkerOf(o), objects},
        pods(std::make_unique<PodManager>(services, SourcesOf(o), admission)),
        local_api(loop, view, LocalApiOf(o), runtime.get()),
        tasks(loop) {}

  probes::NodeProber::OnEvent ProbeEvents() {
    return [this](const k8s::v1::Pod& pod, const std::string& container, bool warning,
                  const std::string& reason, const std::string& message) {
      events.PodEvent(pod, warning ? EventType::kWarning : EventType::kNormal, reason, message,
                      FieldPath(ContainerKind::kRegular, container));
    };
  }

  std::unique_ptr<AgentStats> stats;  // hears from what is below; null without a server
  std::unique_ptr<cri::GrpcRuntime> runtime;
  std::unique_ptr<cgroups::PodCgroups> cgroups;
  NodeCapacity capacity;
  NodeAllocatable allocatable;
  EventLog events;
  std::unique_ptr<PodFiles> files;
  std::unique_ptr<csi::PodVolumes> volumes;
  std::unique_ptr<cri::CredentialPlugins> plugins;  // the first two may be null
  std::unique_ptr<ApiServiceAccounts> accounts;
  std::unique_ptr<PullRecords> records;
  NodeImages images;
  std::unique_ptr<PodConfigurator> config;
  probes::NodeProber prober;
  IdleMemory idle_memory;
  Pleg pleg;
  Admission admission;
  PodServices services;
  std::unique_ptr<PodManager> pods;
  std::unique_ptr<sources::FileSource> file_source;
  std::unique_ptr<sources::UrlSource> url_source;
  std::unique_ptr<LogRotator> rotator;
  std::unique_ptr<RuntimeState> runtime_state;  // both null on a node without a cluster
  std::unique_ptr<PressureWatch> pressure;
  std::unique_ptr<NodeShutdown> shutdown;  // null unless pods get time to end at a shutdown
  LocalApi local_api;
  std::unique_ptr<HealthzServer> healthz;
  std::unique_ptr<auth::ApiReviews> reviews;  // null on a node without a cluster
  std::unique_ptr<KubeletServer> server;
  base::TaskGroup tasks;
};

}  // namespace keelson::kubelet
