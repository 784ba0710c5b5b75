// SPDX-License-Identifier: Apache-2.0
#include "cri/resources.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/strings.h"
#include "proto/codec/quantity.h"

namespace keelson::cri {

using base::StrCat;
using cgroups::QosClass;
using proto::Quantity;

namespace {

constexpr int64_t kMinShares = 2;
constexpr int64_t kMaxShares = 262144;
constexpr int64_t kMinQuotaUs = 1000;
constexpr int64_t kGuaranteedOomScore = -997;
constexpr int64_t kBestEffortOomScore = 1000;

using Amounts = google::protobuf::Map<std::string, k8s::resource::Quantity>;

absl::StatusOr<PodTotal> Amount(const Amounts& amounts, const std::string& resource) {
  auto it = amounts.find(resource);
  if (it == amounts.end()) return PodTotal();
  auto quantity = Quantity::From(it->second);
  if (!quantity.ok()) return quantity.status();
  return PodTotal{resource == "cpu" ? quantity->MilliValue() : quantity->Value(), true};
}

int64_t AddSaturated(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
}

void Add(PodTotal& total, const PodTotal& more) {
  total.value = AddSaturated(total.value, more.value);
  total.named |= more.named;
}

bool IsSidecar(const v1::Container& container) { return container.restartpolicy() == "Always"; }

bool SupportedAtPodLevel(const std::string& resource) {
  return resource == "cpu" || resource == "memory" || resource.starts_with("hugepages-");
}

// True when the pod names any resource for itself that counts at that level.
bool HasPodLevel(const v1::Pod& pod) {
  for (const auto* amounts : {&pod.spec().resources().requests(), &pod.spec().resources().limits()})
    for (const auto& [name, quantity] : *amounts)
      if (SupportedAtPodLevel(name)) return true;
  return false;
}

absl::StatusOr<PodTotal> Total(const v1::Pod& pod, const std::string& resource, bool limits) {
  const auto amounts = [limits](const v1::ResourceRequirements& r) -> const Amounts& {
    return limits ? r.limits() : r.requests();
  };
  if (SupportedAtPodLevel(resource)) {
    auto whole = Amount(amounts(pod.spec().resources()), resource);
    if (!whole.ok() || whole->named) return whole;
  }
  PodTotal sum, sidecars, init;
  for (const auto& container : pod.spec().containers()) {
    auto amount = Amount(amounts(container.resources()), resource);
    if (!amount.ok()) return amount;
    Add(sum, *amount);
  }
  for (const auto& container : pod.spec().initcontainers()) {
    auto amount = Amount(amounts(container.resources()), resource);
    if (!amount.ok()) return amount;
    PodTotal step = sidecars;
    Add(step, *amount);
    if (IsSidecar(container)) {
      Add(sum, *amount);
      sidecars = step;
    }
    init = {std::max(init.value, step.value), init.named || step.named};
  }
  return PodTotal{std::max(sum.value, init.value), sum.named || init.named};
}

// The container's limit, else the pod's.
absl::StatusOr<int64_t> LimitOf(const v1::Pod& pod, const v1::Container& container,
                                const std::string& resource) {
  auto own = Amount(container.resources().limits(), resource);
  if (!own.ok()) return own.status();
  if (own->value != 0 || !HasPodLevel(pod)) return own->value;
  auto whole = Amount(pod.spec().resources().limits(), resource);
  if (!whole.ok()) return whole.status();
  return whole->value;
}

rt::LinuxContainerResources Values(const PodTotal& cpu_request, int64_t cpu_limit,
                                   int64_t memory_limit, bool exclusive_cpus,
                                   const NodeResources& node) {
  rt::LinuxContainerResources out;
  out.set_cpu_shares(CpuShares(cpu_request.named ? cpu_request.value : cpu_limit));
  if (memory_limit != 0) out.set_memory_limit_in_bytes(memory_limit);
  if (node.cpu_cfs_quota) {
    out.set_cpu_period(node.cpu_cfs_period_us);
    out.set_cpu_quota(exclusive_cpus ? -1 : CpuQuota(cpu_limit, node.cpu_cfs_period_us));
  }
  if (node.cgroup_v2 && !node.single_process_oom_kill)
    (*out.mutable_unified())["memory.oom.group"] = "1";
  return out;
}

// hugepages-2Mi -> 2MB: the kernel's names. Empty when it is no such resource.
std::string HugePageName(const std::string& resource) {
  constexpr std::string_view kPrefix = "hugepages-";
  if (!resource.starts_with(kPrefix)) return "";
  auto size = Quantity::Parse(std::string_view(resource).substr(kPrefix.size()));
  if (!size.ok() || size->Sign() <= 0) return "";
  constexpr const char* kUnits[] = {"B", "KB", "MB", "GB", "TB", "PB"};
  int64_t bytes = size->Value();
  size_t unit = 0;
  for (; bytes % 1024 == 0 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return StrCat(bytes, kUnits[unit]);
}

absl::Status SetHugePages(const v1::Pod& pod, const v1::Container& container,
                          const NodeResources& node, rt::LinuxContainerResources* out) {
  std::map<std::string, int64_t> limits;
  for (const auto* amounts :
       {&pod.spec().resources().limits(), &container.resources().limits()}) {  // the latter wins
    for (const auto& [resource, quantity] : *amounts) {
      const std::string name = HugePageName(resource);
      if (name.empty()) continue;
      auto amount = Amount(*amounts, resource);
      if (!amount.ok()) return amount.status();
      limits[name] = amount->value;
    }
  }
  for (const std::string& size : node.huge_pages) {
    auto* limit = out->add_hugepage_limits();
    limit->set_page_size(size);
    limit->set_limit(limits.contains(size) ? limits[size] : 0);
  }
  return absl::OkStatus();
}

void SetSwap(int64_t request, int64_t limit, const ContainerResourceInputs& inputs,
             const NodeResources& node, rt::LinuxContainerResources* out) {
  if (!node.swap_controller) return;
  if (!node.cgroup_v2) {  // memory and swap together: no swap beyond the limit
    out->set_memory_swap_limit_in_bytes(out->memory_limit_in_bytes());
    return;
  }
  int64_t swap = 0;
  const bool may = node.limited_swap && !inputs.critical_pod &&
                   inputs.qos == QosClass::kBurstable && request != limit && node.memory > 0 &&
                   request <= node.memory;
  if (may)
    swap = static_cast<int64_t>(static_cast<double>(request) / static_cast<double>(node.memory) *
                                static_cast<double>(node.swap));
  (*out->mutable_unified())["memory.swap.max"] = StrCat(swap);
}

// KEP-2570.
void SetMemoryQos(int64_t request, int64_t limit, QosClass qos, const NodeResources& node,
                  rt::LinuxContainerResources* out) {
  if (!node.memory_qos || !node.cgroup_v2) return;
  auto& unified = *out->mutable_unified();
  if (request != 0 && node.tiered_reservation) {
    unified[qos == QosClass::kGuaranteed ? "memory.min" : "memory.low"] = StrCat(request);
  } else {
    unified["memory.min"] = "0";
    unified["memory.low"] = "0";
  }
  const int64_t ceiling = limit != 0 ? limit : node.allocatable_memory;
  if (request == limit || ceiling <= 0) return;
  const double wanted = static_cast<double>(request) +
                        static_cast<double>(ceiling - request) * node.memory_throttling_factor;
  const auto pages = std::floor(wanted / static_cast<double>(node.page_size));
  const int64_t high = static_cast<int64_t>(pages) * node.page_size;
  if (high > request) unified["memory.high"] = StrCat(high);
}

}  // namespace

int64_t CpuShares(int64_t milli_cpu) {
  if (milli_cpu > kMaxShares) return kMaxShares;  // also keeps the product in range
  return std::clamp(milli_cpu * 1024 / 1000, kMinShares, kMaxShares);
}

int64_t CpuQuota(int64_t milli_cpu, int64_t period_us) {
  if (milli_cpu == 0) return 0;
  int64_t product;
  if (__builtin_mul_overflow(milli_cpu, period_us, &product))
    return std::numeric_limits<int64_t>::max() / 1000;
  return std::max(product / 1000, kMinQuotaUs);
}

absl::StatusOr<rt::LinuxContainerResources> ContainerResources(
    const v1::Pod& pod, const v1::Container& container, const ContainerResourceInputs& inputs,
    const NodeResources& node) {
  auto cpu_request = Amount(container.resources().requests(), "cpu");
  if (!cpu_request.ok()) return cpu_request.status();
  auto cpu_limit = LimitOf(pod, container, "cpu");
  if (!cpu_limit.ok()) return cpu_limit.status();
  auto memory_limit = LimitOf(pod, container, "memory");
  if (!memory_limit.ok()) return memory_limit.status();
  auto own_request = Amount(container.resources().requests(), "memory");
  if (!own_request.ok()) return own_request.status();
  auto own_limit = Amount(container.resources().limits(), "memory");
  if (!own_limit.ok()) return own_limit.status();

  auto out = Values(*cpu_request, *cpu_limit, *memory_limit, inputs.exclusive_cpus, node);
  out.set_oom_score_adj(inputs.oom_score_adj);
  if (auto status = SetHugePages(pod, container, node, &out); !status.ok()) return status;
  SetSwap(own_request->value, own_limit->value, inputs, node, &out);
  SetMemoryQos(own_request->value, own_limit->value, inputs.qos, node, &out);
  return out;
}

absl::StatusOr<SandboxResources> PodSandboxResources(const v1::Pod& pod,
                                                     const NodeResources& node) {
  auto cpu_request = PodRequest(pod, "cpu");
  if (!cpu_request.ok()) return cpu_request.status();
  auto cpu_limit = PodLimit(pod, "cpu");
  if (!cpu_limit.ok()) return cpu_limit.status();
  auto memory_limit = PodLimit(pod, "memory");
  if (!memory_limit.ok()) return memory_limit.status();
  SandboxResources out;
  out.resources = Values(*cpu_request, cpu_limit->value, memory_limit->value, false, node);
  if (pod.spec().overhead().empty()) return out;
  auto cpu = Amount(pod.spec().overhead(), "cpu");
  if (!cpu.ok()) return cpu.status();
  auto memory = Amount(pod.spec().overhead(), "memory");
  if (!memory.ok()) return memory.status();
  out.overhead = Values(*cpu, cpu->value, memory->value, false, node);
  return out;
}

absl::StatusOr<PodTotal> PodRequest(const v1::Pod& pod, const std::string& resource) {
  return Total(pod, resource, /*limits=*/false);
}

absl::StatusOr<PodTotal> PodLimit(const v1::Pod& pod, const std::string& resource) {
  return Total(pod, resource, /*limits=*/true);
}

absl::StatusOr<int64_t> OomScoreAdj(const v1::Pod& pod, const v1::Container& container,
                                    QosClass qos, bool node_critical, int64_t node_memory) {
  if (node_critical || qos == QosClass::kGuaranteed) return kGuaranteedOomScore;
  if (qos == QosClass::kBestEffort) return kBestEffortOomScore;
  const auto request_of = [](const v1::Container& c) {
    return Amount(c.resources().requests(), "memory");
  };
  auto request = request_of(container);
  if (!request.ok()) return request.status();
  int64_t least = std::numeric_limits<int64_t>::max();  // of the regular containers
  PodTotal named;
  for (const auto& c : pod.spec().containers()) {
    auto amount = request_of(c);
    if (!amount.ok()) return amount.status();
    least = std::min(least, amount->value);
    Add(named, *amount);
  }
  int64_t containers = pod.spec().containers_size();
  for (const auto& c : pod.spec().initcontainers()) {
    if (!IsSidecar(c)) continue;
    auto amount = request_of(c);
    if (!amount.ok()) return amount.status();
    Add(named, *amount);
    ++containers;
  }
  // What the pod asks for beyond its containers is shared out equally (KEP-2837).
  auto whole = Amount(pod.spec().resources().requests(), "memory");
  if (!whole.ok()) return whole.status();
  const int64_t extra = whole->named && containers > 0
                            ? std::max<int64_t>(whole->value - named.value, 0) / containers
                            : 0;
  const auto score = [&](int64_t bytes) {
    const double share =
        node_memory > 0 ? static_cast<double>(bytes) / static_cast<double>(node_memory) : 0;
    return 1000 - static_cast<int64_t>(1000 * std::min(share, 2.0));
  };
  int64_t result = score(AddSaturated(request->value, extra));
  const bool sidecar =
      IsSidecar(container) &&
      std::any_of(pod.spec().initcontainers().begin(), pod.spec().initcontainers().end(),
                  [&](const v1::Container& c) { return c.name() == container.name(); });
  if (sidecar) result = std::min(result, score(AddSaturated(least, extra)));
  return std::clamp(result, 1000 + kGuaranteedOomScore, kBestEffortOomScore - 1);
}

}  // namespace keelson::cri
