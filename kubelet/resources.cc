// SPDX-License-Identifier: Apache-2.0
#include "kubelet/resources.h"

#include <unistd.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "base/files.h"
#include "base/strings.h"
#include "cri/resources.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

namespace {

using ResourceMap = google::protobuf::Map<std::string, k8s::resource::Quantity>;

constexpr std::string_view kHugepages = "hugepages-";

// Validation has parsed every quantity; one that does not parse counts for nothing.
int64_t Milli(const ResourceMap& map, const std::string& name) {
  auto it = map.find(name);
  if (it == map.end()) return 0;
  auto q = proto::Quantity::From(it->second);
  return q.ok() ? q->MilliValue() : 0;
}
int64_t Bytes(const ResourceMap& map, const std::string& name) {
  auto it = map.find(name);
  if (it == map.end()) return 0;
  auto q = proto::Quantity::From(it->second);
  return q.ok() ? q->Value() : 0;
}

// "2Mi" as cgroups call it: "2MB".
std::string CgroupPageName(std::string size) {
  if (size.ends_with("i")) size.back() = 'B';
  return size;
}

PodResources FromMap(const ResourceMap& map) {
  PodResources r;
  r.milli_cpu = Milli(map, "cpu");
  r.memory_bytes = Bytes(map, "memory");
  r.cpu_bounded = r.milli_cpu > 0;
  r.memory_bounded = r.memory_bytes > 0;
  for (const auto& [name, quantity] : map) {
    if (name == "cpu" || name == "memory") continue;
    r.other[name] = Bytes(map, name);
    if (name.starts_with(kHugepages))
      r.hugepages[CgroupPageName(name.substr(kHugepages.size()))] = r.other[name];
  }
  return r;
}

void Add(PodResources& to, const PodResources& other) {
  to.milli_cpu += other.milli_cpu;
  to.memory_bytes += other.memory_bytes;
  for (const auto& [size, bytes] : other.hugepages) to.hugepages[size] += bytes;
  for (const auto& [name, amount] : other.other) to.other[name] += amount;
  to.cpu_bounded &= other.cpu_bounded;
  to.memory_bounded &= other.memory_bounded;
}

void Max(PodResources& to, const PodResources& other) {
  to.milli_cpu = std::max(to.milli_cpu, other.milli_cpu);
  to.memory_bytes = std::max(to.memory_bytes, other.memory_bytes);
  for (const auto& [size, bytes] : other.hugepages)
    to.hugepages[size] = std::max(to.hugepages[size], bytes);
  for (const auto& [name, amount] : other.other)
    to.other[name] = std::max(to.other[name], amount);
  to.cpu_bounded &= other.cpu_bounded;
  to.memory_bounded &= other.memory_bounded;
}

template <typename Pick>
PodResources Aggregate(const v1::Pod& pod, Pick pick) {
  PodResources sum, sidecars, init_peak;
  for (const auto& c : pod.spec().containers()) Add(sum, FromMap(pick(c.resources())));
  for (const auto& c : pod.spec().initcontainers()) {
    PodResources own = FromMap(pick(c.resources()));
    if (IsSidecar(c)) {
      Add(sidecars, own);
      Max(init_peak, sidecars);
    } else {
      Add(own, sidecars);
      Max(init_peak, own);
    }
  }
  Add(sum, sidecars);
  Max(sum, init_peak);
  if (pod.spec().has_resources()) {
    const ResourceMap& level = pick(pod.spec().resources());
    PodResources own = FromMap(level);
    if (level.contains("cpu")) {
      sum.milli_cpu = own.milli_cpu;
      sum.cpu_bounded = true;
    }
    if (level.contains("memory")) {
      sum.memory_bytes = own.memory_bytes;
      sum.memory_bounded = true;
    }
    for (const auto& [size, bytes] : own.hugepages) sum.hugepages[size] = bytes;
    for (const auto& [name, amount] : own.other) sum.other[name] = amount;
  }
  for (const auto& [name, amount] : FromMap(pod.spec().overhead()).other)
    sum.other[name] += amount;
  sum.milli_cpu += Milli(pod.spec().overhead(), "cpu");
  sum.memory_bytes += Bytes(pod.spec().overhead(), "memory");
  return sum;
}

uint64_t SharesOf(int64_t milli_cpu) { return static_cast<uint64_t>(cri::CpuShares(milli_cpu)); }

// How one set of requests and limits counts for the QoS class.
struct QosCount {
  bool any = false;   // something is asked for
  bool full = true;   // cpu and memory are limited, and requested the same
  void Count(const v1::ResourceRequirements& r) {
    for (const char* name : {"cpu", "memory"}) {
      int64_t request = Milli(r.requests(), name), limit = Milli(r.limits(), name);
      any |= request > 0 || limit > 0;
      full &= limit > 0 && (request == limit || !r.requests().contains(name));
    }
  }
};

}  // namespace

cgroups::QosClass QosOf(const v1::Pod& pod) {
  QosCount count;
  if (pod.spec().has_resources() &&
      (pod.spec().resources().requests_size() > 0 || pod.spec().resources().limits_size() > 0)) {
    count.Count(pod.spec().resources());
  } else {
    for (const auto& c : pod.spec().containers()) count.Count(c.resources());
    for (const auto& c : pod.spec().initcontainers()) count.Count(c.resources());
  }
  if (!count.any) return cgroups::QosClass::kBestEffort;
  return count.full ? cgroups::QosClass::kGuaranteed : cgroups::QosClass::kBurstable;
}

PodResources RequestsOf(const v1::Pod& pod) {
  return Aggregate(pod, [](const auto& r) -> const ResourceMap& { return r.requests(); });
}

PodResources LimitsOf(const v1::Pod& pod) {
  return Aggregate(pod, [](const auto& r) -> const ResourceMap& { return r.limits(); });
}

cgroups::Limits PodCgroupLimits(const v1::Pod& pod, const CfsOptions& options) {
  cgroups::Limits limits;
  if (options.pod_pids > 0) limits.pids_max = options.pod_pids;
  const cgroups::QosClass qos = QosOf(pod);
  const PodResources requests = RequestsOf(pod), bounds = LimitsOf(pod);
  for (const auto& [size, bytes] : bounds.hugepages) limits.hugetlb_bytes[size] = bytes;
  if (qos == cgroups::QosClass::kBestEffort) {
    limits.cpu_shares = 2;
    return limits;
  }
  limits.cpu_shares = SharesOf(requests.milli_cpu);
  if (bounds.cpu_bounded && bounds.milli_cpu > 0) {
    limits.cpu_period_us = static_cast<uint64_t>(options.period_us);
    limits.cpu_quota_us =
        options.enforce_quota ? cri::CpuQuota(bounds.milli_cpu, options.period_us) : -1;
  }
  if (bounds.memory_bounded && bounds.memory_bytes > 0) limits.memory_bytes = bounds.memory_bytes;
  return limits;
}

cgroups::Limits BurstableLimits(const std::vector<const v1::Pod*>& pods) {
  int64_t milli = 0;
  for (const v1::Pod* pod : pods)
    if (QosOf(*pod) == cgroups::QosClass::kBurstable) milli += RequestsOf(*pod).milli_cpu;
  cgroups::Limits limits;
  limits.cpu_shares = SharesOf(milli);
  return limits;
}

bool HasAppArmor(const std::string& sys) {
  const auto enabled = base::ReadFile(sys + "/module/apparmor/parameters/enabled");
  return enabled.ok() && enabled->starts_with('Y');
}

absl::StatusOr<NodeCapacity> ReadNodeCapacity(const std::string& proc) {
  NodeCapacity capacity;
  capacity.milli_cpu = ::sysconf(_SC_NPROCESSORS_ONLN) * 1000;
  auto meminfo = base::ReadFile(proc + "/meminfo");
  if (!meminfo.ok()) return meminfo.status();
  size_t at = meminfo->find("MemTotal:");
  int64_t kib = 0;
  if (at != std::string::npos) {
    size_t begin = meminfo->find_first_of("0123456789", at);
    size_t end = meminfo->find_first_not_of("0123456789", begin);
    if (!absl::SimpleAtoi(meminfo->substr(begin, end - begin), &kib)) kib = 0;
  }
  if (kib <= 0) return absl::DataLossError(base::StrCat(proc, "/meminfo has no MemTotal"));
  capacity.memory_bytes = kib * 1024;
  auto pid_max = base::ReadFile(proc + "/sys/kernel/pid_max");
  if (!pid_max.ok()) return pid_max.status();
  if (!absl::SimpleAtoi(*pid_max, &capacity.pids)) capacity.pids = 0;
  return capacity;
}

}  // namespace keelson::kubelet
