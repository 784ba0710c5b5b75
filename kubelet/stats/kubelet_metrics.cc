// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/kubelet_metrics.h"

#include <algorithm>
#include <cctype>

#include "base/strings.h"

namespace keelson::kubelet {
namespace {

using Names = std::vector<std::string>;

const Names& RequestLabels() {
  static const Names kLabels = {"long_running", "method", "path", "server_type"};
  return kLabels;
}

std::vector<double> StartBounds() {
  return {0.5, 1,   2,   3,   4,   5,   6,   8,   10,  20,   30,   45,  60,
          120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600};
}

std::vector<double> PullBounds() {
  return {1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600};
}

std::vector<double> ApiBounds() {
  return {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60};
}

std::string_view KindLabel(ContainerKind kind) {
  switch (kind) {
    case ContainerKind::kInit: return "init_container";
    case ContainerKind::kRegular: return "container";
    case ContainerKind::kEphemeral: return "ephemeral_container";
  }
  return "";
}

// The values of a request's labels.
Names ValuesOf(const KubeletMetrics::Request& request) {
  static constexpr std::string_view kMethods[] = {"GET",    "HEAD",    "POST",    "PUT",  "PATCH",
                                                  "DELETE", "CONNECT", "OPTIONS", "TRACE"};
  static constexpr std::string_view kLong[] = {"exec", "attach", "portforward", "debug"};
  const std::string path = PathBucket(request.path);
  const bool known = std::ranges::find(kMethods, request.method) != std::end(kMethods);
  const bool is_long = std::ranges::find(kLong, path) != std::end(kLong);
  return {is_long ? "true" : "false", known ? request.method : "other", path,
          request.secure ? "readwrite" : "readonly"};
}

}  // namespace

std::string OperationName(std::string_view method) {
  // Upstream's are snake case but for these.
  if (method == "UpdateContainerResources") return "update_container";
  std::string name;
  for (size_t i = 0; i < method.size(); ++i) {
    const bool sandbox = method.substr(i).starts_with("Sandbox") && name.ends_with("pod");
    const auto c = static_cast<unsigned char>(method[i]);
    if (std::isupper(c) && i > 0 && !sandbox) name += '_';
    name += static_cast<char>(std::tolower(c));
  }
  return name;
}

std::string ImageSizeBucket(uint64_t size) {
  constexpr uint64_t kMega = 1 << 20, kGiga = 1 << 30;
  static constexpr std::pair<uint64_t, const char*> kBelow[] = {
      {10 * kMega, "0-10MB"},     {100 * kMega, "10MB-100MB"}, {500 * kMega, "100MB-500MB"},
      {kGiga, "500MB-1GB"},       {5 * kGiga, "1GB-5GB"},      {10 * kGiga, "5GB-10GB"},
      {20 * kGiga, "10GB-20GB"},  {30 * kGiga, "20GB-30GB"},   {40 * kGiga, "30GB-40GB"},
      {60 * kGiga, "40GB-60GB"},  {100 * kGiga, "60GB-100GB"}};
  if (size == 0) return "N/A";
  for (const auto& [limit, label] : kBelow)
    if (size <= limit) return label;
  return "GT100GB";
}

std::string PathBucket(std::string_view path) {
  static constexpr std::string_view kServed[] = {
      "attach",      "checkpoint",      "configz",           "containerLogs",  "debug",
      "exec",        "flagz",           "healthz",           "logs",           "metrics",
      "metrics/cadvisor", "metrics/probes", "metrics/resource", "metrics/slis", "pods",
      "portForward", "run",             "runningpods",       "stats",          "statusz"};
  if (path.starts_with("/")) path.remove_prefix(1);
  size_t end = std::min(path.find('/'), path.size());
  if (path.substr(0, end) == "metrics" && end < path.size())
    end = std::min(path.find('/', end + 1), path.size());
  const std::string_view root = path.substr(0, end);
  return std::ranges::find(kServed, root) == std::end(kServed) ? "other" : std::string(root);
}

KubeletMetrics::KubeletMetrics()
    : runtime_calls_(main_.Counter("kubelet_runtime_operations_total", "Calls to the runtime",
                                   {"operation_type"})),
      runtime_errors_(main_.Counter("kubelet_runtime_operations_errors_total",
                                    "Calls to the runtime that failed", {"operation_type"})),
      runtime_seconds_(main_.Histogram("kubelet_runtime_operations_duration_seconds",
                                       "How long calls to the runtime took",
                                       ExponentialBounds(.005, 2.5, 14), {"operation_type"})),
      relist_seconds_(main_.Histogram("kubelet_pleg_relist_duration_seconds",
                                      "How long listing all pods took", DefaultBounds())),
      relist_interval_(main_.Histogram("kubelet_pleg_relist_interval_seconds",
                                       "Time between two listings of all pods", DefaultBounds())),
      api_calls_(main_.Counter("rest_client_requests_total", "Requests to the API server",
                               {"code", "host", "method"})),
      api_seconds_(main_.Histogram("rest_client_request_duration_seconds",
                                   "How long requests to the API server took", ApiBounds(),
                                   {"host", "verb"})),
      requests_(main_.Counter("kubelet_http_requests_total", "Requests to this server",
                              RequestLabels())),
      request_seconds_(main_.Histogram("kubelet_http_requests_duration_seconds",
                                       "How long requests to this server took", DefaultBounds(),
                                       RequestLabels())),
      requests_now_(main_.Gauge("kubelet_http_inflight_requests", "Requests being served",
                                RequestLabels())),
      worker_seconds_(main_.Histogram("kubelet_pod_worker_duration_seconds",
                                      "How long one round over a pod took", DefaultBounds(),
                                      {"operation_type"})),
      start_seconds_(main_.Histogram("kubelet_pod_start_duration_seconds",
                                     "Time from a pod's first sight until it ran", StartBounds())),
      started_pods_(main_.Counter("kubelet_started_pods_total", "Sandboxes that were to be made")),
      started_pods_errors_(main_.Counter("kubelet_started_pods_errors_total",
                                         "Sandboxes that could not be made")),
      started_containers_(main_.Counter("kubelet_started_containers_total",
                                        "Containers that were to be started",
                                        {"container_type"})),
      started_containers_errors_(main_.Counter("kubelet_started_containers_errors_total",
                                               "Containers that could not be started",
                                               {"code", "container_type"})),
      sandbox_seconds_(main_.Histogram("kubelet_run_podsandbox_duration_seconds",
                                       "How long making sandboxes took in the runtime",
                                       DefaultBounds(), {"runtime_handler"})),
      sandbox_errors_(main_.Counter("kubelet_run_podsandbox_errors_total",
                                    "Sandboxes the runtime could not make",
                                    {"runtime_handler"})),
      pull_seconds_(main_.Histogram("kubelet_image_pull_duration_seconds",
                                    "How long pulls took, with waiting for their turn",
                                    PullBounds(), {"image_size_in_bytes"})),
      start_total_seconds_(main_.Histogram(
          "kubelet_pod_start_total_duration_seconds",
          "Time from a pod's creation until all its containers were seen to run", StartBounds())),
      start_sli_seconds_(main_.Histogram(
          "kubelet_pod_start_sli_duration_seconds",
          "The same without pulling images and init containers, of pods without state",
          StartBounds())),
      first_network_start_(main_.Gauge("kubelet_first_network_pod_start_sli_duration_seconds",
                                       "The same of the first pod with a network of its own")),
      probes_total_(probes_.Counter(
          "prober_probe_total", "Answers of containers to probes",
          {"container", "namespace", "pod", "pod_uid", "probe_type", "result"})),
      probe_seconds_(probes_.Histogram("prober_probe_duration_seconds", "How long probes took",
                                       DefaultBounds(),
                                       {"container", "namespace", "pod", "probe_type"})) {}

void KubeletMetrics::RuntimeCall(std::string_view method, const absl::Status& status,
                                 base::Nanos took) {
  const Names operation = {OperationName(method)};
  runtime_calls_.Add(operation);
  runtime_seconds_.Observe(operation, Seconds(took));
  if (!status.ok()) runtime_errors_.Add(operation);
}

void KubeletMetrics::Relisted(base::Nanos took, std::optional<base::Nanos> since_last) {
  relist_seconds_.Observe({}, Seconds(took));
  if (since_last) relist_interval_.Observe({}, Seconds(*since_last));
}

void KubeletMetrics::ApiCall(const std::string& host, const std::string& method, int code,
                             base::Nanos took) {
  api_calls_.Add({code == 0 ? "<error>" : std::to_string(code), host, method});
  api_seconds_.Observe({host, method}, Seconds(took));
}

void KubeletMetrics::Probed(const Probe& probe) {
  probes_total_.Add({probe.container, probe.ns, probe.pod, probe.uid, probe.type, probe.result});
  if (probe.result != "failed")
    probe_seconds_.Observe({probe.container, probe.ns, probe.pod, probe.type}, Seconds(probe.took));
}

void KubeletMetrics::KeepProbesOf(const std::set<std::string>& uids,
                                  const std::set<PodName>& names) {
  probes_total_.RemoveIf([&](const Names& values) { return !uids.contains(values[3]); });
  probe_seconds_.RemoveIf(
      [&](const Names& values) { return !names.contains({values[1], values[2]}); });
}

void KubeletMetrics::RequestBegan(const Request& request) {
  const Names values = ValuesOf(request);
  requests_.Add(values);
  requests_now_.Add(values);
}

void KubeletMetrics::RequestEnded(const Request& request, base::Nanos took) {
  const Names values = ValuesOf(request);
  requests_now_.Add(values, -1);
  request_seconds_.Observe(values, Seconds(took));
}

void KubeletMetrics::PodSynced(base::Nanos took) {
  worker_seconds_.Observe({"sync"}, Seconds(took));
}

void KubeletMetrics::PodRunning(const v1::Pod&, base::Nanos since_seen) {
  start_seconds_.Observe({}, Seconds(since_seen));
}

void KubeletMetrics::SandboxMade(bool ok) {
  started_pods_.Add({});
  if (!ok) started_pods_errors_.Add({});
}

void KubeletMetrics::SandboxRun(const std::string& handler, bool ok, base::Nanos took) {
  sandbox_seconds_.Observe({handler}, Seconds(took));
  if (!ok) sandbox_errors_.Add({handler});
}

void KubeletMetrics::ImagePulled(uint64_t size, base::Nanos took) {
  pull_seconds_.Observe({ImageSizeBucket(size)}, Seconds(took));
}

void KubeletMetrics::PodStarted(base::Nanos since_made, std::optional<base::Nanos> own,
                                bool own_network) {
  start_total_seconds_.Observe({}, Seconds(since_made));
  if (!own) return;
  start_sli_seconds_.Observe({}, Seconds(*own));
  if (own_network && !std::exchange(network_pod_started_, true))
    first_network_start_.Add({}, Seconds(*own));
}

void KubeletMetrics::ContainerStarted(ContainerKind kind, const std::string& failure) {
  const std::string type(KindLabel(kind));
  started_containers_.Add({type});
  if (!failure.empty()) started_containers_errors_.Add({failure, type});
}

}  // namespace keelson::kubelet
