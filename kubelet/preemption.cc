// SPDX-License-Identifier: Apache-2.0
#include "kubelet/preemption.h"

#include <algorithm>
#include <array>

#include "base/strings.h"
#include "kubelet/resources.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

// One that could go, with what its end would free.
struct Candidate {
  const v1::Pod* pod;
  PodResources frees;

  int64_t Frees(const std::string& resource) const {
    if (resource == "pods") return 1;
    if (resource == "cpu") return frees.milli_cpu;
    if (resource == "memory") return frees.memory_bytes;
    const auto found = frees.other.find(resource);
    return found == frees.other.end() ? 0 : found->second;
  }
};
using Candidates = std::vector<Candidate>;

std::vector<Shortage> Without(const std::vector<Shortage>& shortages, const Candidates& gone) {
  std::vector<Shortage> left;
  for (Shortage shortage : shortages) {
    for (const Candidate& candidate : gone) shortage.amount -= candidate.Frees(shortage.resource);
    if (shortage.amount > 0) left.push_back(std::move(shortage));
  }
  return left;
}

// How much of each shortage would remain, each weighing the same.
double Distance(const std::vector<Shortage>& shortages, const Candidate& candidate) {
  double distance = 0;
  for (const Shortage& shortage : shortages) {
    const auto left = static_cast<double>(shortage.amount - candidate.Frees(shortage.resource));
    const double part = left / static_cast<double>(shortage.amount);
    if (left > 0) distance += part * part;
  }
  return distance;
}

bool Smaller(const Candidate& a, const Candidate& b) {
  if (a.frees.memory_bytes != b.frees.memory_bytes)
    return a.frees.memory_bytes < b.frees.memory_bytes;
  return a.frees.milli_cpu <= b.frees.milli_cpu;
}

// Takes out of `pods` what ends `shortages`, nearest first. REQUIRES: all of them would do.
Candidates Nearest(Candidates pods, std::vector<Shortage> shortages) {
  Candidates chosen;
  while (!shortages.empty() && !pods.empty()) {
    auto best = pods.begin();
    double least = Distance(shortages, *best);
    for (auto it = best + 1; it != pods.end(); ++it) {
      const double distance = Distance(shortages, *it);
      if (distance > least || (distance == least && !Smaller(*it, *best))) continue;
      best = it;
      least = distance;
    }
    shortages = Without(shortages, {*best});
    chosen.push_back(std::move(*best));
    pods.erase(best);
  }
  return chosen;
}

Candidates Joined(Candidates a, const Candidates& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

std::string ToText(const std::vector<Shortage>& shortages) {
  std::string text = "[";
  for (const Shortage& s : shortages)
    base::StrAppend(&text, "(res: ", s.resource, ", q: ", s.amount, "), ");
  return text + "]";
}

}  // namespace

bool MayPreempt(const v1::Pod& pod, const v1::Pod& other) {
  if (IsCriticalPod(pod) && !IsCriticalPod(other)) return true;
  return pod.spec().has_priority() && other.spec().has_priority() &&
         pod.spec().priority() > other.spec().priority();
}

PodVerdict Preempted() {
  return {"Preempting", "Preempted in order to admit critical pod",
          "Pod was preempted by Kubelet to accommodate a critical pod."};
}

absl::StatusOr<std::vector<const v1::Pod*>> PodsToPreempt(const v1::Pod& pod,
                                                          const std::vector<const v1::Pod*>& pods,
                                                          const std::vector<Shortage>& shortages) {
  std::array<Candidates, 3> by_qos;
  auto& [best_effort, burstable, guaranteed] = by_qos;
  for (const v1::Pod* other : pods) {
    if (!MayPreempt(pod, *other)) continue;
    Candidate candidate{other, RequestsOf(*other)};
    switch (QosOf(*other)) {
      case cgroups::QosClass::kBestEffort: best_effort.push_back(std::move(candidate)); break;
      case cgroups::QosClass::kBurstable: burstable.push_back(std::move(candidate)); break;
      case cgroups::QosClass::kGuaranteed: guaranteed.push_back(std::move(candidate)); break;
    }
  }
  const Candidates lesser = Joined(best_effort, burstable);
  if (const auto left = Without(shortages, Joined(lesser, guaranteed)); !left.empty())
    return absl::InvalidArgumentError(
        StrCat("preemption: error finding a set of pods to preempt: no set of running pods found "
               "to reclaim resources: ",
               ToText(left)));
  // Each class gives only what those below it cannot.
  const Candidates third = Nearest(guaranteed, Without(shortages, lesser));
  const Candidates second = Nearest(burstable, Without(shortages, Joined(best_effort, third)));
  const Candidates first = Nearest(best_effort, Without(shortages, Joined(second, third)));
  std::vector<const v1::Pod*> chosen;
  for (const Candidates* part : {&first, &second, &third})
    for (const Candidate& candidate : *part) chosen.push_back(candidate.pod);
  return chosen;
}

}  // namespace keelson::kubelet
