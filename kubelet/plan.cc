// SPDX-License-Identifier: Apache-2.0
#include "kubelet/plan.h"

#include <algorithm>
#include <utility>

#include "base/strings.h"
#include "cri/identity.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

bool Contains(const google::protobuf::RepeatedField<int32_t>& values, int code) {
  return std::find(values.begin(), values.end(), code) != values.end();
}

bool RuleMatches(const v1::ContainerRestartRule& rule, int exit_code) {
  const auto& codes = rule.exitcodes();
  bool listed = Contains(codes.values(), exit_code);
  return codes.operator_() == "NotIn" ? !listed : listed;
}

const std::string& PolicyOf(const v1::Pod& pod, const v1::Container& container) {
  return container.has_restartpolicy() ? container.restartpolicy() : pod.spec().restartpolicy();
}

bool AsksForRestartAll(const v1::Pod& pod, const ObservedPod& seen, const ObservedContainer& c) {
  if (c.state != ContainerState::kExited || seen.Newest(c.name) != &c) return false;
  auto asks = [&](const v1::Container& spec) {
    return spec.name() == c.name &&
           DecideRestart(pod, spec, c.exit_code) == RestartDecision::kRestartAllContainers;
  };
  return std::any_of(pod.spec().containers().begin(), pod.spec().containers().end(), asks) ||
         std::any_of(pod.spec().initcontainers().begin(), pod.spec().initcontainers().end(), asks);
}

// One pass over one pod; each method handles one group of containers.
class Planner {
 public:
  explicit Planner(const PlanInput& input) : in_(input), spec_(input.pod.spec()) {}

  PodPlan Run() {
    SandboxNeed need = NeedSandbox(in_.pod, in_.seen);
    if (need.create) {
      PlanSandbox(need);
      return std::move(plan_);
    }
    if (RestartAllAsked(in_.pod, in_.seen)) {
      RestartAll();
      return std::move(plan_);
    }
    plan_.initialized = PlanInit();
    if (failed_for_good_) {
      StopPod();
      return std::move(plan_);
    }
    if (plan_.initialized) PlanRegular();
    if (!plan_.stop_pod) PlanEphemeral();
    Prune();
    return std::move(plan_);
  }

 private:
  // Upstream does not bring a sandbox back for a pod that has nothing left to run in it.
  void PlanSandbox(const SandboxNeed& need) {
    const std::string& policy = spec_.restartpolicy();
    bool had_containers = !in_.seen.containers.empty();
    bool nothing_left = policy == "Never" && need.attempt > 0 && had_containers;
    if (!nothing_left && AnyRegularCreated())
      nothing_left = std::all_of(
          spec_.containers().begin(), spec_.containers().end(), [&](const v1::Container& c) {
            const ObservedContainer* seen = in_.seen.Newest(c.name());
            return seen && seen->state == ContainerState::kExited && !RunsAgain(c, *seen);
          });
    if (nothing_left) return StopPod();
    plan_.create_sandbox = true;
    plan_.sandbox_attempt = need.attempt;
    plan_.sandbox_changed = need.replaces;
    for (size_t i = 1; i < in_.seen.sandboxes.size(); ++i) PruneSandbox(in_.seen.sandboxes[i]);
  }

  void StopPod() {
    plan_.stop_pod = true;
    plan_.start.clear();
  }

  // Whether an ended container is started again, now or after its back-off.
  bool RunsAgain(const v1::Container& c, const ObservedContainer& ended) const {
    return in_.start_again.contains(ended.id) ||
           DecideRestart(in_.pod, c, ended.exit_code) != RestartDecision::kNo;
  }

  // It has ended, or a probe is ending it, and it does not run again.
  bool EndsForGood(const v1::Container& c) const {
    const ObservedContainer* seen = in_.seen.Newest(c.name());
    if (!seen || (!seen->hash.empty() && seen->hash != HashOf(c))) return false;
    if (seen->state == ContainerState::kExited) return !RunsAgain(c, *seen);
    return seen->state == ContainerState::kRunning && PolicyOf(in_.pod, c) == "Never" &&
           (ResultOf(in_.probes.liveness, seen->id) == ProbeResult::kFailure ||
            ResultOf(in_.probes.startup, seen->id) == ProbeResult::kFailure);
  }

  bool AnyRegularCreated() const {
    return std::any_of(spec_.containers().begin(), spec_.containers().end(),
                       [&](const v1::Container& c) { return in_.seen.Newest(c.name()); });
  }

  // Once a regular container exists that has not ended, init containers are history.
  bool PreviouslyInitialized() const {
    return std::any_of(spec_.containers().begin(), spec_.containers().end(),
                       [&](const v1::Container& c) {
                         if (in_.busy.contains(c.name())) return true;
                         const ObservedContainer* seen = in_.seen.Newest(c.name());
                         return seen && (seen->state == ContainerState::kCreated ||
                                         seen->state == ContainerState::kRunning);
                       });
  }

  void Start(ContainerKind kind, int index, const ObservedContainer* last) {
    const v1::Container c = ContainerOf(in_.pod, kind, index);
    if (in_.busy.contains(c.name()) || in_.pod.metadata().has_deletiontimestamp()) return;
    for (const auto& planned : plan_.start)
      if (planned.kind == kind && planned.index == index) return;
    if (last && last->state == ContainerState::kCreated && last->hash == HashOf(c) &&
        InCurrentSandbox(*last)) {
      plan_.start.push_back({kind, index, last->restart_count, false, last->id});
      return;
    }
    if (last && last->state == ContainerState::kExited && InBackoff(c, *last)) return;
    plan_.start.push_back({kind, index, last ? last->restart_count + 1 : 0, last == nullptr, {}});
  }

  bool InCurrentSandbox(const ObservedContainer& c) const {
    const ObservedSandbox* sandbox = in_.seen.sandbox();
    return sandbox && c.sandbox_id == sandbox->id;
  }

  bool InBackoff(const v1::Container& c, const ObservedContainer& last) {
    std::string key = RestartBackoffKey(in_.pod, c);
    auto ended = in_.ended.find(last.id);
    base::MonoTime event = ended == in_.ended.end() ? in_.now : ended->second;
    base::Nanos left = in_.backoff.Remaining(key, event, in_.now);
    if (left <= base::Nanos(0)) return false;
    plan_.waiting[c.name()] = {
        "CrashLoopBackOff",
        StrCat("back-off ", base::GoDuration(in_.backoff.Delay(key)),
               " restarting failed container=", c.name(), " pod=", in_.pod.metadata().name(), "_",
               in_.pod.metadata().namespace_(), "(", in_.pod.metadata().uid(), ")")};
    base::MonoTime when = in_.now + left;
    plan_.look_again = plan_.look_again ? std::min(*plan_.look_again, when) : when;
    return true;
  }

  const std::string& HashOf(const v1::Container& c) const {
    static const std::string kNone;
    auto it = in_.hashes.find(c.name());
    return it == in_.hashes.end() ? kNone : it->second;
  }

  void Kill(const ObservedContainer& c, KillCause cause, std::string message, bool start_again) {
    if (in_.busy.contains(c.name)) return;
    plan_.kill.push_back({c.id, c.name, cause, std::move(message), start_again});
  }

  static ProbeResult ResultOf(const std::map<std::string, ProbeResult>& results,
                              const std::string& id) {
    auto it = results.find(id);
    return it == results.end() ? ProbeResult::kUnknown : it->second;
  }

  // A running container that must not go on as it is; true when it is being killed.
  bool KillIfUnwanted(ContainerKind kind, const v1::Container& c, const ObservedContainer& seen) {
    // Upstream's words: of an init container it goes without saying that it is restarted.
    const bool init = kind == ContainerKind::kInit;
    auto kill = [&](KillCause cause, const char* why, bool again) {
      Kill(seen, cause,
           StrCat(init ? "Init container " : "Container ", c.name(), why,
                  again && !init ? ", will be restarted" : ""),
           again);
    };
    if (!seen.hash.empty() && seen.hash != HashOf(c)) {
      kill(KillCause::kSpecChanged, " definition changed", true);
      return true;
    }
    // The rules for exit codes do not apply: it has not exited.
    const bool again = PolicyOf(in_.pod, c) != "Never";
    if (c.has_livenessprobe() &&
        ResultOf(in_.probes.liveness, seen.id) == ProbeResult::kFailure) {
      kill(KillCause::kLiveness, " failed liveness probe", again);
      return true;
    }
    if (c.has_startupprobe() && ResultOf(in_.probes.startup, seen.id) == ProbeResult::kFailure) {
      kill(KillCause::kStartup, " failed startup probe", again);
      return true;
    }
    return false;
  }

  // From the last init container to the first: the latest one that exists tells how far we are.
  // Returns whether the regular containers may run.
  bool PlanInit() {
    if (spec_.initcontainers_size() == 0) return true;
    const bool previously = PreviouslyInitialized();
    bool initialized = previously;
    bool frontier_found = false;
    for (int i = spec_.initcontainers_size() - 1; i >= 0; --i) {
      const v1::Container& c = spec_.initcontainers(i);
      const ObservedContainer* seen = in_.seen.Newest(c.name());
      const bool sidecar = IsSidecar(c);
      const bool busy = in_.busy.contains(c.name());
      if (previously || frontier_found) {
        // Past its turn: only a sidecar is still kept running.
        if (sidecar) KeepSidecar(i, c, seen);
        continue;
      }
      if (!seen && !busy) continue;
      frontier_found = true;
      if (!busy && PlanInitFrontier(i, c, *seen)) {
        if (i + 1 == spec_.initcontainers_size()) initialized = true;
        else Start(ContainerKind::kInit, i + 1, nullptr);
      }
    }
    if (!previously && !frontier_found) Start(ContainerKind::kInit, 0, nullptr);
    std::reverse(plan_.start.begin(), plan_.start.end());
    return initialized;
  }

  void KeepSidecar(int index, const v1::Container& c, const ObservedContainer* seen) {
    if (in_.busy.contains(c.name())) return;
    // The pod ends with its last regular container, whose hook and grace may take long.
    if (std::all_of(spec_.containers().begin(), spec_.containers().end(),
                    [this](const v1::Container& regular) { return EndsForGood(regular); }))
      return;
    if (!seen) return Start(ContainerKind::kInit, index, nullptr);
    if (seen->state == ContainerState::kRunning) {
      KillIfUnwanted(ContainerKind::kInit, c, *seen);
    } else if (seen->state == ContainerState::kUnknown) {
      Kill(*seen, KillCause::kUnknownState, UnknownMessage(ContainerKind::kInit), true);
    } else {
      Start(ContainerKind::kInit, index, seen);
    }
  }

  // Upstream's words of the Killing event.
  static std::string UnknownMessage(ContainerKind kind) {
    return StrCat(kind == ContainerKind::kInit ? "Init container" : "Container",
                  " is in \"unknown\" state, try killing it before restart");
  }

  // The init container whose turn it is. True when the next one may start.
  bool PlanInitFrontier(int index, const v1::Container& c, const ObservedContainer& seen) {
    const bool sidecar = IsSidecar(c);
    switch (seen.state) {
      case ContainerState::kCreated:
        Start(ContainerKind::kInit, index, &seen);
        return false;
      case ContainerState::kUnknown:
        // What it did is not known, so a policy of Never cannot let it run again.
        if (PolicyOf(in_.pod, c) == "Never") failed_for_good_ = true;
        else Kill(seen, KillCause::kUnknownState, UnknownMessage(ContainerKind::kInit), true);
        return false;
      case ContainerState::kRunning:
        if (!sidecar) return false;
        // A sidecar that has started lets the next one start, even while it is being restarted.
        KillIfUnwanted(ContainerKind::kInit, c, seen);
        return !c.has_startupprobe() ||
               ResultOf(in_.probes.startup, seen.id) == ProbeResult::kSuccess;
      case ContainerState::kExited:
        break;
    }
    if (sidecar) {
      Start(ContainerKind::kInit, index, &seen);
      return false;
    }
    const bool forced = in_.start_again.contains(seen.id);
    if (!forced && seen.exit_code == 0 && seen.reason != "OOMKilled") return true;
    if (RunsAgain(c, seen)) Start(ContainerKind::kInit, index, &seen);
    else failed_for_good_ = true;
    return false;
  }

  void PlanRegular() {
    bool alive = false;  // something is kept, or will be started now or after its back-off
    for (int i = 0; i < spec_.containers_size(); ++i)
      alive |= PlanRegularContainer(i, spec_.containers(i));
    if (!alive) StopPod();
  }

  bool PlanRegularContainer(int index, const v1::Container& c) {
    const ObservedContainer* seen = in_.seen.Newest(c.name());
    if (in_.busy.contains(c.name())) return true;
    if (!seen || seen->state == ContainerState::kCreated) {
      Start(ContainerKind::kRegular, index, seen);
      return true;
    }
    if (seen->state == ContainerState::kRunning) {
      KillIfUnwanted(ContainerKind::kRegular, c, *seen);
      return true;
    }
    if (seen->state == ContainerState::kUnknown) {
      Kill(*seen, KillCause::kUnknownState, UnknownMessage(ContainerKind::kRegular), true);
      return true;
    }
    // It ended. A container whose definition changed since runs again whatever the policy says.
    bool changed = !seen->hash.empty() && seen->hash != HashOf(c);
    if (!changed && !RunsAgain(c, *seen)) return false;
    Start(ContainerKind::kRegular, index, seen);
    return true;
  }

  // Whoever debugs a pod does so in whatever state it is: ahead of the others, and once.
  void PlanEphemeral() {
    std::vector<StartAction> others = std::exchange(plan_.start, {});
    for (int i = 0; i < spec_.ephemeralcontainers_size(); ++i) {
      const std::string& name = spec_.ephemeralcontainers(i).ephemeralcontainercommon().name();
      const ObservedContainer* seen = in_.seen.Newest(name);
      if (!seen || seen->state == ContainerState::kCreated)
        Start(ContainerKind::kEphemeral, i, seen);
    }
    plan_.start.insert(plan_.start.end(), others.begin(), others.end());
  }

  // Kills what runs and removes what does not. The containers that asked for it are kept until they
  // are all that is left: without them nobody would know that the others shall run again.
  void RestartAll() {
    plan_.restart_all = true;
    std::vector<std::string> sources;
    for (const auto& c : in_.seen.containers) {
      if (AsksForRestartAll(in_.pod, in_.seen, c))
        sources.push_back(c.id);
      else if (c.state == ContainerState::kRunning || c.state == ContainerState::kUnknown)
        Kill(c, KillCause::kRestartAll, StrCat("Container ", c.name, " restarts with its pod"),
             false);
      else if (!in_.busy.contains(c.name))
        plan_.remove_containers.push_back(c.id);
    }
    if (plan_.kill.empty() && in_.busy.empty() && plan_.remove_containers.empty())
      plan_.remove_containers = std::move(sources);
  }

  // Of each container the newest instance and the newest ended one before it are kept.
  void Prune() {
    std::map<std::string, int> ended;
    std::set<std::string> seen_names;
    for (const auto& c : in_.seen.containers) {
      bool newest = seen_names.insert(c.name).second;
      // Created for a sandbox that has gone since: it will never run.
      if (c.state == ContainerState::kCreated && !newest && !in_.busy.contains(c.name))
        plan_.remove_containers.push_back(c.id);
      if (c.state != ContainerState::kExited || in_.busy.contains(c.name)) continue;
      if (++ended[c.name] > 1 && !newest) plan_.remove_containers.push_back(c.id);
    }
    for (size_t i = 1; i < in_.seen.sandboxes.size(); ++i) PruneSandbox(in_.seen.sandboxes[i]);
  }

  void PruneSandbox(const ObservedSandbox& sandbox) {
    bool in_use = sandbox.ready || std::any_of(in_.seen.containers.begin(),
                                               in_.seen.containers.end(), [&](const auto& c) {
                                                 return c.sandbox_id == sandbox.id;
                                               });
    if (!in_use) plan_.remove_sandboxes.push_back(sandbox.id);
  }

  const PlanInput& in_;
  const v1::PodSpec& spec_;
  PodPlan plan_;
  bool failed_for_good_ = false;
};

}  // namespace

PodPlan MakePlan(const PlanInput& input) { return Planner(input).Run(); }

RestartDecision DecideRestart(const v1::Pod& pod, const v1::Container& container, int exit_code) {
  for (const auto& rule : container.restartpolicyrules()) {
    if (!RuleMatches(rule, exit_code)) continue;
    return rule.action() == "RestartAllContainers" ? RestartDecision::kRestartAllContainers
                                                   : RestartDecision::kYes;
  }
  const std::string& policy = PolicyOf(pod, container);
  if (policy == "Never") return RestartDecision::kNo;
  if (policy == "OnFailure") return exit_code != 0 ? RestartDecision::kYes : RestartDecision::kNo;
  return RestartDecision::kYes;
}

bool RestartAllAsked(const v1::Pod& pod, const ObservedPod& seen) {
  return std::any_of(seen.containers.begin(), seen.containers.end(),
                     [&](const ObservedContainer& c) { return AsksForRestartAll(pod, seen, c); });
}

std::string RestartBackoffKey(const v1::Pod& pod, const v1::Container& container) {
  const auto& meta = pod.metadata();
  return StrCat(meta.name(), "/", meta.namespace_(), "/", meta.uid(), "/", container.name(), "/",
                container.image(), "/", container.resources().SerializeAsString());
}

v1::Container ContainerOf(const v1::Pod& pod, ContainerKind kind, int index) {
  switch (kind) {
    case ContainerKind::kInit: return pod.spec().initcontainers(index);
    case ContainerKind::kRegular: return pod.spec().containers(index);
    case ContainerKind::kEphemeral: break;
  }
  return cri::AsContainer(pod.spec().ephemeralcontainers(index).ephemeralcontainercommon());
}

SandboxNeed NeedSandbox(const v1::Pod& pod, const ObservedPod& seen) {
  if (seen.sandboxes.empty()) return {true, 0, false};
  const ObservedSandbox& newest = seen.sandboxes[0];
  int ready = static_cast<int>(std::count_if(seen.sandboxes.begin(), seen.sandboxes.end(),
                                             [](const ObservedSandbox& s) { return s.ready; }));
  SandboxNeed again{true, newest.attempt + 1, true};
  if (ready > 1 || !newest.ready) return again;
  if (newest.host_network != pod.spec().hostnetwork()) return again;
  if (!pod.spec().hostnetwork() && newest.ips.empty()) return again;
  return {false, newest.attempt, false};
}

}  // namespace keelson::kubelet
