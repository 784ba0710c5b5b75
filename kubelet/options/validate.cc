// SPDX-License-Identifier: Apache-2.0
// Upstream's rules, in its words where it has any.
#include <arpa/inet.h>

#include <algorithm>
#include <initializer_list>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/strings.h"
#include "base/time.h"
#include "kubelet/options/parts.h"
#include "proto/codec/duration.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

constexpr int64_t kMs = 1'000'000, kSecond = 1'000'000'000;
using Words = std::initializer_list<const char*>;
using TextMap = google::protobuf::Map<std::string, std::string>;

bool OneOf(std::string_view text, Words words) {
  return std::any_of(words.begin(), words.end(), [&](const char* w) { return text == w; });
}

bool IsIp(const std::string& text) {
  unsigned char buffer[16];
  return ::inet_pton(AF_INET, text.c_str(), buffer) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), buffer) == 1;
}

class Validator {
 public:
  explicit Validator(const KubeletOptions& options) : o_(options), c_(options.config) {}

  std::vector<std::string> Run() {
    Gates();
    Numbers();
    Enumerations();
    Durations();
    Images();
    Cgroups();
    Reservations();
    Shutdown();
    Eviction();
    Network();
    Files();
    FlagsOnly();
    Standalone();
    return std::move(problems_);
  }

 private:
  template <typename... Ts>
  void Require(bool good, const Ts&... words) {
    if (!good) problems_.push_back(StrCat("invalid configuration: ", words...));
  }
  // "field (--flag) value"
  void Within(const char* field, const char* flag, int64_t value, int64_t low, int64_t high) {
    Require(value >= low && value <= high, field, *flag ? " (" : "", flag, *flag ? ") " : " ", value,
            " must be between ", low, " and ", high, ", inclusive");
  }
  void NotNegative(const char* field, const char* flag, int64_t value) {
    Require(value >= 0, field, " (", flag, ") ", value, " must not be a negative number");
  }
  void Choice(const char* field, const char* flag, const std::string& value, Words words) {
    std::string list;
    for (const char* w : words) base::StrAppend(&list, list.empty() ? "\"" : ", \"", w, "\"");
    Require(OneOf(value, words), "option \"", value, "\" specified for ", field, *flag ? " (" : "",
            flag, *flag ? ")" : "", ". Valid options are ", list);
  }
  bool Gate(const std::string& name, bool otherwise) const {
    auto it = c_.featuregates().find(name);
    return it == c_.featuregates().end() ? otherwise : it->second;
  }

  void Gates() {
    std::set<std::string> unknown;
    for (const auto& [name, on] : c_.featuregates())
      if (!IsFeatureGate(name)) unknown.insert(name);
    for (const std::string& name : unknown)
      problems_.push_back(StrCat("unrecognized feature gate: ", name));
  }

  void Numbers() {
    Require(c_.nodeleasedurationseconds() > 0, "nodeLeaseDurationSeconds must be greater than 0");
    NotNegative("eventBurst", "--event-burst", c_.eventburst());
    NotNegative("eventRecordQPS", "--event-qps", c_.eventrecordqps());
    NotNegative("kubeAPIBurst", "--kube-api-burst", c_.kubeapiburst());
    NotNegative("kubeAPIQPS", "--kube-api-qps", c_.kubeapiqps());
    NotNegative("registryBurst", "--registry-burst", c_.registryburst());
    NotNegative("registryPullQPS", "--registry-qps", c_.registrypullqps());
    NotNegative("maxOpenFiles", "--max-open-files", c_.maxopenfiles());
    NotNegative("maxPods", "--max-pods", c_.maxpods());
    NotNegative("podsPerCore", "--pods-per-core", c_.podspercore());
    if (c_.healthzport() != 0)
      Within("healthzPort", "--healthz-port", c_.healthzport(), 1, 65535);
    Within("port", "--port", c_.port(), 1, 65535);
    Within("readOnlyPort", "--read-only-port", c_.readonlyport(), 0, 65535);
    Within("oomScoreAdj", "--oom-score-adj", c_.oomscoreadj(), -1000, 1000);
    Within("iptablesDropBit", "--iptables-drop-bit", c_.iptablesdropbit(), 0, 31);
    Within("iptablesMasqueradeBit", "--iptables-masquerade-bit", c_.iptablesmasqueradebit(), 0, 31);
    Require(c_.nodestatusmaximages() >= -1, "nodeStatusMaxImages (--node-status-max-images) ",
            c_.nodestatusmaximages(), " must be -1 or greater");
    Require(c_.memorythrottlingfactor() > 0 && c_.memorythrottlingfactor() <= 1,
            "memoryThrottlingFactor ", c_.memorythrottlingfactor(),
            " must be greater than 0 and less than or equal to 1.0");
    const int64_t ids = c_.usernamespaces().idsperpod();
    Require(ids > 0 && ids % 65536 == 0 && ids < (int64_t{1} << 32), "userNamespaces.idsPerPod ",
            ids, " must be a multiple of 65536 and less than 2^32");
    Require(!c_.runonce(), "runOnce (--runOnce) ", c_.runonce(),
            ", Runonce mode has been deprecated and should not be set");
  }

  void Enumerations() {
    Choice("cgroupDriver", "--cgroup-driver", c_.cgroupdriver(), {"cgroupfs", "systemd"});
    Choice("hairpinMode", "--hairpin-mode", c_.hairpinmode(),
           {"none", "hairpin-veth", "promiscuous-bridge"});
    Choice("authorization.mode", "--authorization-mode", c_.authorization().mode(),
           {"Webhook", "AlwaysAllow"});
    Choice("configMapAndSecretChangeDetectionStrategy", "",
           c_.configmapandsecretchangedetectionstrategy(), {"Watch", "Cache", "Get"});
    Choice("cpuManagerPolicy", "--cpu-manager-policy", c_.cpumanagerpolicy(), {"none", "static"});
    Choice("memoryManagerPolicy", "--memory-manager-policy", c_.memorymanagerpolicy(),
           {"None", "Static"});
    Choice("topologyManagerPolicy", "--topology-manager-policy", c_.topologymanagerpolicy(),
           {"none", "best-effort", "restricted", "single-numa-node"});
    Choice("topologyManagerScope", "--topology-manager-scope", c_.topologymanagerscope(),
           {"container", "pod"});
    Choice("memoryReservationPolicy", "", c_.memoryreservationpolicy(), {"None", "TieredReservation"});
    Require(c_.memoryreservationpolicy() != "TieredReservation" || Gate("MemoryQoS", false),
            "memoryReservationPolicy \"TieredReservation\" requires MemoryQoS feature gate to be "
            "enabled");
    Choice("memorySwap.swapBehavior", "", c_.memoryswap().swapbehavior(),
           {"", "NoSwap", "LimitedSwap"});
    Choice("tlsMinVersion", "--tls-min-version", c_.tlsminversion(),
           {"", "VersionTLS10", "VersionTLS11", "VersionTLS12", "VersionTLS13"});
    Choice("logging.format", "--logging-format", c_.logging().format(), {"text", "json"});
  }

  void Durations() {
    const int64_t period = c_.cpucfsquotaperiod().duration();
    Require(period >= kMs && period <= kSecond, "cpuCFSQuotaPeriod (--cpu-cfs-quota-period) ",
            base::GoDuration(base::Nanos(period)), " must be between 1ms and 1sec, inclusive");
    Require(c_.syncfrequency().duration() > 0, "syncFrequency (--sync-frequency) must be positive");
    const int64_t restart = c_.crashloopbackoff().maxcontainerrestartperiod().duration();
    Require(restart >= kSecond && restart <= 300 * kSecond,
            "CrashLoopBackOff.MaxContainerRestartPeriod (got: ", restart / kSecond,
            " seconds) must be set between 1s and 300s");
    Require(c_.containerlogmonitorinterval().duration() >= 3 * kSecond,
            "containerLogMonitorInterval must be a positive time duration greater than or equal to 3s");
  }

  void Images() {
    const int high = c_.imagegchighthresholdpercent(), low = c_.imagegclowthresholdpercent();
    Within("imageGCHighThresholdPercent", "--image-gc-high-threshold", high, 0, 100);
    Within("imageGCLowThresholdPercent", "--image-gc-low-threshold", low, 0, 100);
    Require(low < high, "imageGCLowThresholdPercent (--image-gc-low-threshold) ", low,
            " must be less than imageGCHighThresholdPercent (--image-gc-high-threshold) ", high);
    const int64_t least = c_.imageminimumgcage().duration(), most = c_.imagemaximumgcage().duration();
    Require(least >= 0, "imageMinimumGCAge ", base::GoDuration(base::Nanos(least)),
            " must not be negative");
    Require(most >= 0, "imageMaximumGCAge ", base::GoDuration(base::Nanos(most)),
            " must not be negative");
    Require(most <= 0 || most > least, "imageMaximumGCAge ", base::GoDuration(base::Nanos(most)),
            " must be greater than imageMinimumGCAge ", base::GoDuration(base::Nanos(least)));
    if (c_.has_maxparallelimagepulls()) {
      Require(c_.maxparallelimagepulls() >= 1, "maxParallelImagePulls ", c_.maxparallelimagepulls(),
              " must be a positive number");
      Require(c_.maxparallelimagepulls() <= 1 || !c_.serializeimagepulls(),
              "maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls "
              "(--serialize-image-pulls) is set to false");
    }
    Choice("imagePullCredentialsVerificationPolicy", "", c_.imagepullcredentialsverificationpolicy(),
           {"NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages",
            "AlwaysVerify"});
    Require(c_.preloadedimagesverificationallowlist().empty() ||
                c_.imagepullcredentialsverificationpolicy() == "NeverVerifyAllowlistedImages",
            "can't set preloadedImagesVerificationAllowlist if imagePullCredentialsVerificationPolicy "
            "is not \"NeverVerifyAllowlistedImages\"");
    Require(!c_.containerruntimeendpoint().empty(),
            "the containerRuntimeEndpoint was not specified or empty");
    Require(c_.containerlogmaxfiles() > 1, "containerLogMaxFiles must be greater than 1");
    Require(c_.containerlogmaxworkers() >= 1,
            "containerLogMaxWorkers must be greater than or equal to 1");
    auto size = proto::Quantity::Parse(c_.containerlogmaxsize());
    Require(size.ok(), "containerLogMaxSize (--container-log-max-size) \"", c_.containerlogmaxsize(),
            "\" is not a quantity");
  }

  void Cgroups() {
    constexpr const char* kName = "enforceNodeAllocatable (--enforce-node-allocatable)";
    Require(c_.systemcgroups().empty() || !(c_.cgrouproot().empty() || c_.cgrouproot() == "/"),
            "systemCgroups (--system-cgroups) was specified and cgroupRoot (--cgroup-root) was not "
            "specified");
    std::set<std::string> seen;
    for (const std::string& key : c_.enforcenodeallocatable()) {
      Require(seen.insert(key).second, "duplicated enforcements \"", key, "\" in ", kName);
      Choice("enforceNodeAllocatable", "--enforce-node-allocatable", key,
             {"none", "pods", "system-reserved", "system-reserved-compressible", "kube-reserved",
              "kube-reserved-compressible"});
      Require(key == "none" || c_.cgroupsperqos(),
              "cgroupsPerQOS (--cgroups-per-qos) must be set to true when \"", key,
              "\" contained in ", kName);
    }
    Require(!seen.contains("none") || seen.size() == 1, kName,
            " may not contain additional enforcements when \"none\" is specified");
    NeedsCgroup(seen, "system-reserved", "systemReservedCgroup (--system-reserved-cgroup)",
                c_.systemreservedcgroup());
    NeedsCgroup(seen, "kube-reserved", "kubeReservedCgroup (--kube-reserved-cgroup)",
                c_.kubereservedcgroup());
  }

  void NeedsCgroup(const std::set<std::string>& seen, const std::string& key, const char* field,
                   const std::string& cgroup) {
    const std::string compressible = key + "-compressible";
    Require(!seen.contains(key) || !seen.contains(compressible), "both \"", key, "\" and \"",
            compressible,
            "\" cannot be specified together in enforceNodeAllocatable (--enforce-node-allocatable)");
    Require((!seen.contains(key) && !seen.contains(compressible)) || !cgroup.empty(), field,
            " must be specified when \"", key, "\" or \"", compressible,
            "\" included in enforceNodeAllocatable (--enforce-node-allocatable)");
  }

  void Reserved(const char* field, const TextMap& map) {
    for (const auto& [name, text] : map) {
      Require(OneOf(name, {"cpu", "memory", "ephemeral-storage", "pid"}), field, " resource \"", name,
              "\" is not one of cpu, memory, ephemeral-storage, pid");
      auto quantity = proto::Quantity::Parse(text);
      Require(quantity.ok(), field, " ", name, "=\"", text, "\" is not a quantity");
      if (quantity.ok())
        Require(quantity->Sign() >= 0, field, " ", name, "=\"", text, "\" cannot be negative");
    }
  }

  void Reservations() {
    Reserved("systemReserved (--system-reserved)", c_.systemreserved());
    Reserved("kubeReserved (--kube-reserved)", c_.kubereserved());
    if (c_.reservedsystemcpus().empty()) return;
    Require(c_.systemreservedcgroup().empty() && c_.kubereservedcgroup().empty(),
            "can't use reservedSystemCPUs (--reserved-cpus) with systemReservedCgroup "
            "(--system-reserved-cgroup) or kubeReservedCgroup (--kube-reserved-cgroup)");
    Require(CountCpus(c_.reservedsystemcpus()) >= 0,
            "unable to parse reservedSystemCPUs (--reserved-cpus) ", c_.reservedsystemcpus());
  }

  void Shutdown() {
    const int64_t all = c_.shutdowngraceperiod().duration();
    const int64_t critical = c_.shutdowngraceperiodcriticalpods().duration();
    const std::string all_text = base::GoDuration(base::Nanos(all));
    const std::string critical_text = base::GoDuration(base::Nanos(critical));
    Require(critical <= all, "shutdownGracePeriodCriticalPods ", critical_text,
            " must be <= shutdownGracePeriod ", all_text);
    Require(all == 0 || all >= kSecond, "shutdownGracePeriod ", all_text,
            " must be either zero or otherwise >= 1 sec");
    Require(critical == 0 || critical >= kSecond, "shutdownGracePeriodCriticalPods ", critical_text,
            " must be either zero or otherwise >= 1 sec");
    Require(c_.shutdowngraceperiodbypodpriority().empty() || (all == 0 && critical == 0),
            "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same "
            "time");
  }

  void Thresholds(const char* field, const TextMap& map) {
    for (const auto& [signal, text] : map) {
      Require(OneOf(signal, {"memory.available", "allocatableMemory.available", "nodefs.available",
                             "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree",
                             "containerfs.available", "containerfs.inodesFree", "pid.available"}),
              field, ": unsupported eviction signal ", signal);
      if (text.ends_with('%')) {
        double percent = -1;
        Require(absl::SimpleAtod(text.substr(0, text.size() - 1), &percent) && percent >= 0 &&
                    percent <= 100,
                field, ": eviction percentage threshold ", signal, " must be >= 0% and <= 100%: ",
                text);
      } else {
        auto quantity = proto::Quantity::Parse(text);
        Require(quantity.ok() && quantity->Sign() > 0, field, ": eviction threshold ", signal,
                " must be a positive quantity: ", text);
      }
    }
  }

  void Eviction() {
    Thresholds("evictionHard (--eviction-hard)", c_.evictionhard());
    Thresholds("evictionSoft (--eviction-soft)", c_.evictionsoft());
    Thresholds("evictionMinimumReclaim (--eviction-minimum-reclaim)", c_.evictionminimumreclaim());
    for (const auto& [signal, text] : c_.evictionsoft())
      Require(c_.evictionsoftgraceperiod().contains(signal),
              "grace period must be specified for the soft eviction threshold ", signal);
    for (const auto& [signal, text] : c_.evictionsoftgraceperiod()) {
      auto grace = proto::ParseGoDuration(text);
      Require(grace.ok() && grace->count() >= 0, "invalid eviction grace period specified: ", text);
    }
  }

  void Network() {
    Require(IsIp(c_.address()), "address (--address) \"", c_.address(), "\" is not an IP address");
    Require(IsIp(c_.healthzbindaddress()), "healthzBindAddress (--healthz-bind-address) \"",
            c_.healthzbindaddress(), "\" is not an IP address");
    for (const std::string& server : c_.clusterdns())
      Require(IsIp(server), "clusterDNS (--cluster-dns) \"", server, "\" is not an IP address");
    Require(!c_.enablesystemlogquery() || c_.enablesystemloghandler(),
            "enableSystemLogHandler is required for enableSystemLogQuery");
    for (const auto& taint : c_.registerwithtaints())
      Require(!taint.has_timeadded(), "taint.TimeAdded is not nil");
  }

  void Files() {
    const std::string& logs = c_.podlogsdir();
    Require(!logs.empty(), "podLogsDir was not specified");
    if (logs.empty()) return;
    Require(logs[0] == '/', "pod logs path \"", logs, "\" must be absolute path");
    bool clean = logs == "/" || !logs.ends_with('/');
    for (absl::string_view part : absl::StrSplit(absl::string_view(logs).substr(1), '/'))
      clean &= logs == "/" || (!part.empty() && part != "." && part != "..");
    Require(clean, "pod logs path \"", logs, "\" must be normalized");
    Require(std::all_of(logs.begin(), logs.end(), [](char c) { return (c & 0x80) == 0; }),
            "pod logs path \"", logs, "\" mut contains ASCII characters only");
  }

  void FlagsOnly() {
    if (!o_.cloud_provider.empty() && o_.cloud_provider != "external")
      problems_.push_back(StrCat("unsupported value for \"cloud-provider\": \"", o_.cloud_provider,
                                 "\"; it is empty or external"));
    if (!o_.node_ip.empty()) {
      size_t count = 0;
      for (absl::string_view ip : absl::StrSplit(o_.node_ip, ',')) {
        ++count;
        if (!IsIp(std::string(ip)))
          problems_.push_back(StrCat("bad --node-ip \"", o_.node_ip, "\": \"", ip,
                                     "\" is not an IP address"));
      }
      if (count > 2)
        problems_.push_back(StrCat("bad --node-ip \"", o_.node_ip,
                                   "\": must contain either a single IP or a dual-stack pair of IPs"));
    }
    NodeLabels();
  }

  void NodeLabels() {
    std::string unknown;
    for (const auto& [key, value] : o_.node_labels) {
      size_t slash = key.find('/');
      if (slash == std::string::npos) continue;
      const std::string space = key.substr(0, slash);
      auto in = [&](const std::string& domain) {
        return space == domain || space.ends_with("." + domain);
      };
      if (!in("kubernetes.io") && !in("k8s.io")) continue;
      if (in("kubelet.kubernetes.io") || in("node.kubernetes.io")) continue;
      if (OneOf(key, {"kubernetes.io/hostname", "kubernetes.io/os", "kubernetes.io/arch",
                      "topology.kubernetes.io/zone", "topology.kubernetes.io/region",
                      "failure-domain.beta.kubernetes.io/zone",
                      "failure-domain.beta.kubernetes.io/region",
                      "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os",
                      "beta.kubernetes.io/arch"}))
        continue;
      base::StrAppend(&unknown, unknown.empty() ? "" : ", ", key);
    }
    if (!unknown.empty())
      problems_.push_back(
          StrCat("unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: ", unknown));
  }

  void Standalone() {
    if (o_.kubeconfig.empty()) {
      if (c_.authentication().webhook().enabled())
        problems_.push_back(
            "no client provided, cannot use webhook authentication; set "
            "authentication.webhook.enabled to false or give --kubeconfig");
      if (c_.authorization().mode() == "Webhook")
        problems_.push_back(
            "no client provided, cannot use webhook authorization; set authorization.mode to "
            "AlwaysAllow or give --kubeconfig");
    } else if (o_.bootstrap_kubeconfig.empty() && !base::PathExists(o_.kubeconfig)) {
      problems_.push_back(StrCat("invalid kubeconfig: stat ", o_.kubeconfig,
                                 ": no such file or directory, and no --bootstrap-kubeconfig"));
    }
  }

  const KubeletOptions& o_;
  const Configuration& c_;
  std::vector<std::string> problems_;
};

}  // namespace

int CountCpus(std::string_view list) {
  constexpr int kMostCpus = 65536;
  std::set<int> cpus;
  for (absl::string_view part : absl::StrSplit(base::ToAbsl(list), ',')) {
    std::pair<absl::string_view, absl::string_view> ends = absl::StrSplit(part, absl::MaxSplits('-', 1));
    int first = -1, last = -1;
    if (!absl::SimpleAtoi(ends.first, &first) || first < 0) return -1;
    if (part.find('-') == absl::string_view::npos) last = first;
    else if (!absl::SimpleAtoi(ends.second, &last)) return -1;
    if (last < first || last >= kMostCpus) return -1;
    for (int cpu = first; cpu <= last; ++cpu) cpus.insert(cpu);
  }
  return static_cast<int>(cpus.size());
}

std::vector<std::string> Validate(const KubeletOptions& options) { return Validator(options).Run(); }

}  // namespace keelson::kubelet
