// SPDX-License-Identifier: Apache-2.0
// What the agent counts of its own doings, under upstream's names: the families of /metrics and
// /metrics/probes that somebody calls in for. Loop only; lives as long as anything it hears from.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "kubelet/pod_observer.h"
#include "kubelet/stats/metrics.h"

namespace keelson::kubelet {

class KubeletMetrics : public PodObserver {
 public:
  KubeletMetrics();

  // A CRI call that ended; `method` as RunPodSandbox.
  void RuntimeCall(std::string_view method, const absl::Status& status, base::Nanos took);
  // A full relist; `since_last`: start to start.
  void Relisted(base::Nanos took, std::optional<base::Nanos> since_last);
  // A request to the API server; `code` 0: there was no answer.
  void ApiCall(const std::string& host, const std::string& method, int code, base::Nanos took);
  struct Probe {
    std::string type;  // Liveness, Readiness, Startup
    std::string result;  // successful, failed, unknown
    std::string container, pod, ns, uid;
    base::Nanos took;
  };
  void Probed(const Probe& probe);
  // Forgets the probes of every other pod.
  struct PodName {
    std::string ns, name;
    auto operator<=>(const PodName&) const = default;
  };
  void KeepProbesOf(const std::set<std::string>& uids, const std::set<PodName>& names);
  struct Request {
    std::string method, path;
    bool secure = true;
  };
  void RequestBegan(const Request& request);
  void RequestEnded(const Request& request, base::Nanos took);

  // An image was pulled, so long after it was asked for; `size` 0: the runtime does not tell.
  void ImagePulled(uint64_t size, base::Nanos took);
  // All containers of a pod of the API server are seen to run there: so long after it was made;
  // `own`: without pulls and init containers, nullopt for a pod with volumes that have a state.
  void PodStarted(base::Nanos since_made, std::optional<base::Nanos> own, bool own_network);

  // PodObserver
  void PodSynced(base::Nanos took) override;
  void PodRunning(const v1::Pod& pod, base::Nanos since_seen) override;
  void SandboxMade(bool ok) override;
  void SandboxRun(const std::string& handler, bool ok, base::Nanos took) override;
  void ContainerStarted(ContainerKind kind, const std::string& failure) override;

  Registry& main() { return main_; }
  Registry& probes() { return probes_; }

 private:
  Registry main_, probes_;
  Family &runtime_calls_, &runtime_errors_, &runtime_seconds_;
  Family &relist_seconds_, &relist_interval_;
  Family &api_calls_, &api_seconds_;
  Family &requests_, &request_seconds_, &requests_now_;
  Family &worker_seconds_, &start_seconds_;
  Family &started_pods_, &started_pods_errors_, &started_containers_, &started_containers_errors_;
  Family &sandbox_seconds_, &sandbox_errors_;
  Family &pull_seconds_;
  Family &start_total_seconds_, &start_sli_seconds_, &first_network_start_;
  bool network_pod_started_ = false;
  Family &probes_total_, &probe_seconds_;
};

// run_podsandbox for RunPodSandbox: upstream's names of operations.
std::string OperationName(std::string_view method);
// What requests are counted by: the first segment of a path that is served, two below metrics, or
// "other".
std::string PathBucket(std::string_view path);

// 10MB-100MB: upstream's label for an image of so many bytes; N/A for 0.
std::string ImageSizeBucket(uint64_t size);

}  // namespace keelson::kubelet
