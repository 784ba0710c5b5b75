// SPDX-License-Identifier: Apache-2.0
// What the agent acts on. Whoever makes a setting work adds its name here; main warns about every
// other setting that a user gives.
#include <algorithm>
#include <set>

#include "kubelet/options/flags.h"
#include "kubelet/options/options.h"

namespace keelson::kubelet {
namespace {

// Fields of the file (below logging and access: each member, and the whole name for its flag), and
// flags (with dashes) that have no field.
constexpr std::string_view kActedOn[] = {
    "--bootstrap-kubeconfig", "--cert-dir", "--cloud-provider", "--config", "--config-dir",
    "--hostname-override", "--image-credential-provider-bin-dir",
    "--image-credential-provider-config", "--kubeconfig", "--node-ip", "--node-labels",
    "--root-dir", "address", "allowedUnsafeSysctls", "authentication.anonymous",
    "authentication.anonymous.enabled", "authentication.webhook", "authentication.webhook.cacheTTL",
    "authentication.webhook.enabled", "authentication.x509", "authentication.x509.clientCAFile",
    "authorization.mode", "authorization.webhook", "authorization.webhook.cacheAuthorizedTTL",
    "authorization.webhook.cacheUnauthorizedTTL", "cgroupDriver", "cgroupRoot", "clusterDNS",
    "clusterDomain", "containerLogMaxFiles", "containerLogMaxSize", "containerLogMaxWorkers",
    "containerLogMonitorInterval", "containerRuntimeEndpoint", "contentType", "cpuCFSQuota",
    "cpuCFSQuotaPeriod", "crashLoopBackOff", "enableControllerAttachDetach",
    "enableDebugFlagsHandler", "enableDebuggingHandlers", "enableProfilingHandler", "enableServer",
    "enableSystemLogHandler", "enableSystemLogQuery", "eventBurst", "eventRecordQPS",
    "failCgroupV1", "failSwapOn", "fileCheckFrequency", "healthzBindAddress", "healthzPort",
    "httpCheckFrequency", "imagePullCredentialsVerificationPolicy", "imageServiceEndpoint",
    "kubeAPIBurst", "kubeAPIQPS", "kubeReserved", "logging.format", "logging.verbosity",
    "maxParallelImagePulls", "maxPods", "nodeLeaseDurationSeconds", "nodeStatusMaxImages",
    "nodeStatusReportFrequency", "nodeStatusUpdateFrequency", "podCIDR", "podLogsDir",
    "podPidsLimit", "podsPerCore", "port", "preloadedImagesVerificationAllowlist", "providerID",
    "readOnlyPort", "registerNode", "registerWithTaints", "registryBurst", "registryPullQPS",
    "resolvConf", "rotateCertificates", "runtimeRequestTimeout", "seccompDefault",
    "serializeImagePulls", "serverTLSBootstrap", "shutdownGracePeriod",
    "shutdownGracePeriodByPodPriority", "shutdownGracePeriodCriticalPods", "singleProcessOOMKill",
    "staticPodPath", "staticPodURL", "staticPodURLHeader", "syncFrequency", "systemReserved",
    "tlsCertFile", "tlsCipherSuites", "tlsCurvePreferences", "tlsMinVersion", "tlsPrivateKeyFile",
    "volumeStatsAggPeriod",
};

std::string FieldOf(const std::string& name) {
  if (!name.starts_with("--")) return name;
  const FlagSpec* spec = FindFlag(std::string_view(name).substr(2));
  if (spec == nullptr || *spec->field == '\0') return name;
  return spec->field;
}

}  // namespace

std::vector<std::string> NotYetActedOn(const KubeletOptions& options) {
  std::vector<std::string> names;
  std::set<std::string> seen;
  for (const std::string& name : options.set_explicitly)
    if (std::find(std::begin(kActedOn), std::end(kActedOn), FieldOf(name)) == std::end(kActedOn) &&
        seen.insert(name).second)
      names.push_back(name);
  return names;
}

}  // namespace keelson::kubelet
