// SPDX-License-Identifier: Apache-2.0
#include "kubelet/status.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_join.h"
#include "base/strings.h"
#include "kubelet/conditions.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

constexpr int kKilled = 137;  // 128 + SIGKILL: what is assumed of a container nobody can find

void SetTimeNanos(int64_t nanos, k8s::meta::v1::Time* out) {
  if (nanos > 0) SetTime(base::FromUnixNanos(nanos), out);
}

// One container's status from its instances. Kept apart from the pod-level rules.
class ContainerStatusMaker {
 public:
  ContainerStatusMaker(const StatusInput& in, const v1::Container& spec, bool init)
      : in_(in), spec_(spec), init_(init) {}

  v1::ContainerStatus Make() {
    out_.set_name(spec_.name());
    FindInstances();
    if (!newest_) Unseen();
    else Seen();
    ApplyWaiting();
    Readiness();
    VolumeMounts();
    return std::move(out_);
  }

 private:
  void FindInstances() {
    for (const auto& c : in_.seen.containers) {
      if (c.name != spec_.name()) continue;
      if (!newest_) newest_ = &c;
      else if (!before_) before_ = &c;
    }
  }

  const v1::ContainerStatus* Previous() const {
    const auto& list = init_ ? in_.previous.initcontainerstatuses()
                             : in_.previous.containerstatuses();
    for (const auto& s : list)
      if (s.name() == spec_.name()) return &s;
    return nullptr;
  }

  void SetWaiting(const std::string& reason, const std::string& message) {
    auto* waiting = out_.mutable_state()->mutable_waiting();
    if (!reason.empty()) waiting->set_reason(reason);
    if (!message.empty()) waiting->set_message(message);
  }

  // No instance in the runtime: never created, or gone.
  void Unseen() {
    out_.set_image(spec_.image());
    out_.set_imageid("");
    const v1::ContainerStatus* previous = Previous();
    auto counted = in_.restart_counts.find(spec_.name());
    int restarts = counted == in_.restart_counts.end() ? 0 : static_cast<int>(counted->second);
    out_.set_restartcount(previous ? std::max(previous->restartcount(), restarts) : restarts);
    if (previous && previous->state().has_running()) return Vanished(*previous);
    if (previous && previous->state().has_terminated()) {
      // Collected after it ended: what was known stays known.
      out_ = *previous;
      return;
    }
    if (init_ && !IsSidecar(spec_) && RegularStarted()) return TreatAsDone();
    SetWaiting(in_.pod.spec().initcontainers_size() > 0 ? "PodInitializing" : "ContainerCreating",
               "");
    if (previous && previous->has_laststate()) *out_.mutable_laststate() = previous->laststate();
  }

  bool RegularStarted() const {
    return std::any_of(in_.pod.spec().containers().begin(), in_.pod.spec().containers().end(),
                       [&](const v1::Container& c) { return in_.seen.Newest(c.name()); });
  }

  void TreatAsDone() {
    auto* ended = out_.mutable_state()->mutable_terminated();
    ended->set_exitcode(0);
    ended->set_reason("Completed");
    ended->set_message(
        "Unable to get init container status from container runtime and pod has been initialized, "
        "treat it as exited normally");
  }

  // It ran when we last looked and the runtime knows nothing of it now.
  void Vanished(const v1::ContainerStatus& previous) {
    v1::ContainerState lost;
    auto* ended = lost.mutable_terminated();
    ended->set_exitcode(kKilled);
    ended->set_reason("ContainerStatusUnknown");
    ended->set_containerid(previous.containerid());
    out_.set_containerid(previous.containerid());
    if (in_.terminating) {
      ended->set_message("The container could not be located when the pod was terminated");
      *out_.mutable_state() = lost;
      return;
    }
    ended->set_message(
        "The container could not be located when the pod was deleted.  The container used to be "
        "Running");
    out_.set_restartcount(previous.restartcount() + 1);
    *out_.mutable_laststate() = lost;
    SetWaiting("ContainerCreating", "");
  }

  void Seen() {
    out_.set_image(newest_->image);
    out_.set_imageid(newest_->image_ref);
    out_.set_containerid(StrCat(in_.runtime_name, "://", newest_->id));
    out_.set_restartcount(static_cast<int>(newest_->restart_count));
    *out_.mutable_state() = StateOf(*newest_);
    if (before_ && before_->state == ContainerState::kExited)
      *out_.mutable_laststate() = StateOf(*before_);
    if (newest_->state == ContainerState::kRunning) Running();
    if (newest_->user && newest_->user->has_linux()) {
      auto* user = out_.mutable_user()->mutable_linux();
      user->set_uid(newest_->user->linux().uid());
      user->set_gid(newest_->user->linux().gid());
      for (int64_t g : newest_->user->linux().supplemental_groups())
        user->add_supplementalgroups(g);
    }
  }

  v1::ContainerState StateOf(const ObservedContainer& c) const {
    v1::ContainerState state;
    switch (c.state) {
      case ContainerState::kCreated:
        state.mutable_waiting();
        break;
      case ContainerState::kRunning:
        SetTimeNanos(c.started_at, state.mutable_running()->mutable_startedat());
        break;
      case ContainerState::kExited:
        FillTerminated(c, state.mutable_terminated());
        break;
      case ContainerState::kUnknown: {
        auto* ended = state.mutable_terminated();
        ended->set_exitcode(kKilled);
        ended->set_reason("ContainerStatusUnknown");
        ended->set_containerid(StrCat(in_.runtime_name, "://", c.id));
        break;
      }
    }
    return state;
  }

  void FillTerminated(const ObservedContainer& c, v1::ContainerStateTerminated* ended) const {
    ended->set_exitcode(c.exit_code);
    if (!c.reason.empty()) ended->set_reason(c.reason);
    auto text = in_.messages.find(c.id);
    std::string message = c.message;
    if (text != in_.messages.end() && !text->second.empty())
      message = message.empty() ? text->second : StrCat(message, ": ", text->second);
    if (!message.empty()) ended->set_message(message);
    SetTimeNanos(c.started_at, ended->mutable_startedat());
    SetTimeNanos(c.finished_at, ended->mutable_finishedat());
    ended->set_containerid(StrCat(in_.runtime_name, "://", c.id));
  }

  void Running() {
    *out_.mutable_allocatedresources() = spec_.resources().requests();
    *out_.mutable_resources() = spec_.resources();
    if (newest_->resources) ActualResources(newest_->resources->linux());
  }

  // What the runtime really applied, read back (cri: shares and quota to milli-CPU).
  void ActualResources(const runtime::v1::LinuxContainerResources& linux) {
    auto* resources = out_.mutable_resources();
    auto set_milli = [](auto* map, int64_t milli) {
      proto::Quantity::FromMilli(milli).To(&(*map)["cpu"]);
    };
    if (linux.cpu_quota() > 0 && linux.cpu_period() > 0 && resources->limits().contains("cpu"))
      set_milli(resources->mutable_limits(), linux.cpu_quota() * 1000 / linux.cpu_period());
    if (linux.cpu_shares() > 2 && resources->requests().contains("cpu"))
      set_milli(resources->mutable_requests(), (linux.cpu_shares() * 1000 + 1023) / 1024);
    if (linux.memory_limit_in_bytes() > 0 && resources->limits().contains("memory"))
      proto::Quantity::FromValue(linux.memory_limit_in_bytes(),
                                 proto::Quantity::Format::kBinarySi)
          .To(&(*resources->mutable_limits())["memory"]);
  }

  bool WillRunAgain() const {
    if (in_.terminating || in_.terminal) return false;
    if (!newest_ || newest_->state != ContainerState::kExited) return true;
    if (init_ && IsSidecar(spec_)) return true;
    if (init_ && newest_->exit_code == 0) return false;
    return DecideRestart(in_.pod, spec_, newest_->exit_code) != RestartDecision::kNo;
  }

  // A reason to wait replaces an ended state, which moves down to lastState.
  void ApplyWaiting() {
    auto it = in_.waiting.find(spec_.name());
    if (it == in_.waiting.end() || out_.state().has_running() || !WillRunAgain()) return;
    if (out_.state().has_terminated()) {
      *out_.mutable_laststate() = out_.state();
      out_.clear_state();
    }
    out_.mutable_state()->clear_waiting();
    SetWaiting(it->second.reason, it->second.message);
  }

  void Readiness() {
    bool running = out_.state().has_running();
    bool started = running;
    if (running && spec_.has_startupprobe())
      started = Result(in_.probes.startup) == ProbeResult::kSuccess;
    out_.set_started(started);
    bool ready = started;
    if (ready && spec_.has_readinessprobe())
      ready = Result(in_.probes.readiness) == ProbeResult::kSuccess;
    if (init_ && !IsSidecar(spec_))
      ready = out_.state().has_terminated() && out_.state().terminated().exitcode() == 0;
    out_.set_ready(ready);
  }

  ProbeResult Result(const std::map<std::string, ProbeResult>& results) const {
    if (!newest_) return ProbeResult::kUnknown;
    auto it = results.find(newest_->id);
    return it == results.end() ? ProbeResult::kUnknown : it->second;
  }

  void VolumeMounts() {
    out_.clear_volumemounts();
    for (const auto& mount : spec_.volumemounts()) {
      auto* m = out_.add_volumemounts();
      m->set_name(mount.name());
      m->set_mountpath(mount.mountpath());
      if (!mount.readonly()) continue;
      m->set_readonly(true);
      m->set_recursivereadonly(
          mount.has_recursivereadonly() && mount.recursivereadonly() == "Enabled" ? "Enabled"
                                                                                  : "Disabled");
    }
  }

  const StatusInput& in_;
  const v1::Container& spec_;
  const bool init_;
  const ObservedContainer* newest_ = nullptr;
  const ObservedContainer* before_ = nullptr;
  v1::ContainerStatus out_;
};

void AddContainerStatuses(const StatusInput& in, v1::PodStatus& status) {
  for (const auto& c : in.pod.spec().initcontainers())
    *status.add_initcontainerstatuses() = ContainerStatusMaker(in, c, true).Make();
  std::vector<v1::ContainerStatus> regular;
  for (const auto& c : in.pod.spec().containers())
    regular.push_back(ContainerStatusMaker(in, c, false).Make());
  std::sort(regular.begin(), regular.end(),
            [](const auto& a, const auto& b) { return a.name() < b.name(); });
  for (auto& s : regular) *status.add_containerstatuses() = std::move(s);
}

void AddAddresses(const StatusInput& in, v1::PodStatus& status) {
  if (!in.node_ips.empty()) {
    status.set_hostip(in.node_ips[0]);
    for (const auto& ip : in.node_ips) status.add_hostips()->set_ip(ip);
  }
  const ObservedSandbox* sandbox = in.seen.sandbox();
  std::vector<std::string> ips;
  if (in.pod.spec().hostnetwork()) ips = in.node_ips;
  else if (sandbox && sandbox->ready && !sandbox->ips.empty()) ips = sandbox->ips;
  else ips = in.last_pod_ips;
  if (ips.empty()) return;
  status.set_podip(ips[0]);
  for (const auto& ip : ips) status.add_podips()->set_ip(ip);
}

// Counts of the phase rules.
struct Tally {
  int pending_init = 0, failed_init = 0;
  int running = 0, waiting = 0, stopped = 0, unknown = 0, succeeded = 0;
  bool any_will_restart = false;
  bool regular_ever_started = false;
};

void TallyRegular(const v1::Pod& pod, const v1::Container& spec, const v1::ContainerStatus* s,
                  Tally& t) {
  if (!s) {
    ++t.unknown;
    return;
  }
  if (s->state().has_running()) {
    ++t.running;
    t.regular_ever_started = true;
  } else if (s->state().has_terminated() || s->laststate().has_terminated()) {
    const auto& ended = s->state().has_terminated() ? s->state().terminated()
                                                    : s->laststate().terminated();
    ++t.stopped;
    t.regular_ever_started = true;
    if (s->state().has_terminated() && ended.exitcode() == 0) ++t.succeeded;
    if (!s->state().has_terminated() ||
        DecideRestart(pod, spec, ended.exitcode()) != RestartDecision::kNo)
      t.any_will_restart = true;
  } else {
    ++t.waiting;
  }
}

void TallyInit(const v1::Pod& pod, const v1::Container& spec, const v1::ContainerStatus* s,
               Tally& t) {
  if (IsSidecar(spec)) {
    if (s && s->state().has_running()) {
      ++t.running;
      if (!s->started() && !t.regular_ever_started) ++t.pending_init;
    } else if (s && s->state().has_terminated()) {
      return;
    } else if (!(s && s->laststate().has_terminated()) && !t.regular_ever_started) {
      ++t.pending_init;
    }
    return;
  }
  if (s && s->state().has_terminated()) {
    if (s->state().terminated().exitcode() == 0) return;
    if (DecideRestart(pod, spec, s->state().terminated().exitcode()) == RestartDecision::kNo)
      ++t.failed_init;
    else
      ++t.pending_init;
    return;
  }
  if (t.regular_ever_started && !s) return;
  ++t.pending_init;
}

const v1::ContainerStatus* Find(
    const google::protobuf::RepeatedPtrField<v1::ContainerStatus>& list, const std::string& name) {
  for (const auto& s : list)
    if (s.name() == name) return &s;
  return nullptr;
}

}  // namespace

void SetTime(base::WallTime time, k8s::meta::v1::Time* out) {
  int64_t nanos = base::ToUnixNanos(time);
  out->set_seconds(nanos / 1'000'000'000);
}

bool IsTerminalPhase(const std::string& phase) { return phase == "Succeeded" || phase == "Failed"; }

std::string MakePhase(const v1::Pod& pod, const v1::PodStatus& status, bool terminal) {
  Tally t;
  for (const auto& c : pod.spec().containers())
    TallyRegular(pod, c, Find(status.containerstatuses(), c.name()), t);
  for (const auto& c : pod.spec().initcontainers())
    TallyInit(pod, c, Find(status.initcontainerstatuses(), c.name()), t);
  if (t.failed_init > 0) return "Failed";
  if (t.pending_init > 0) return terminal ? "Failed" : "Pending";
  if (t.waiting > 0) return terminal ? "Failed" : "Pending";
  // Sidecars alone do not keep a pod running: the regular containers decide.
  if (t.running > 0 && t.unknown == 0) return "Running";
  if (t.running == 0 && t.stopped > 0 && t.unknown == 0) {
    const bool all_succeeded = t.succeeded == t.stopped;
    if (terminal && !IsStaticPod(pod)) return all_succeeded ? "Succeeded" : "Failed";
    if (t.any_will_restart) return "Running";
    return all_succeeded ? "Succeeded" : "Failed";
  }
  return terminal ? "Failed" : "Pending";
}

v1::PodStatus MakePodStatus(const StatusInput& in) {
  v1::PodStatus status;
  AddContainerStatuses(in, status);
  std::string phase = MakePhase(in.pod, status, in.terminal);
  if (IsTerminalPhase(in.previous.phase())) phase = in.previous.phase();
  if (in.verdict) {
    phase = "Failed";
    if (!in.verdict->reason.empty()) status.set_reason(in.verdict->reason);
    if (!in.verdict->message.empty()) status.set_message(in.verdict->message);
  }
  status.set_phase(phase);
  status.set_qosclass(in.qos_class);
  SetTime(in.start_time, status.mutable_starttime());
  AddAddresses(in, status);
  AddConditions(in, status);
  return status;
}

}  // namespace keelson::kubelet
