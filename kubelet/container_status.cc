// SPDX-License-Identifier: Apache-2.0
#include "kubelet/container_status.h"

#include <set>

#include "base/strings.h"
#include "proto/codec/quantity.h"

namespace keelson::kubelet {

using base::StrCat;

namespace {

constexpr char kStatusUnknown[] = "ContainerStatusUnknown";
constexpr char kLostAtEnd[] = "The container could not be located when the pod was terminated";
constexpr int kKilled = 137;  // 128 + SIGKILL: what is assumed of a container nobody can find

void SetTimeNanos(int64_t nanos, k8s::meta::v1::Time* out) {
  if (nanos > 0) SetTime(base::FromUnixNanos(nanos), out);
}

// One container's status from its instances. Kept apart from the pod-level rules.
class ContainerStatusMaker {
 public:
  ContainerStatusMaker(const StatusInput& in, const v1::Container& spec, ContainerKind kind)
      : in_(in),
        spec_(spec),
        init_(kind == ContainerKind::kInit),
        ephemeral_(kind == ContainerKind::kEphemeral) {}

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
    const auto& list = init_        ? in_.previous.initcontainerstatuses()
                       : ephemeral_ ? in_.previous.ephemeralcontainerstatuses()
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
    if (previous && !previous->state().has_waiting() && RestartAllAsked(in_.pod, in_.seen))
      return Removed(*previous);
    if (previous && previous->state().has_running()) return Vanished(*previous);
    if (previous && previous->state().has_terminated()) {
      // Collected after it ended: what was known stays known.
      out_ = *previous;
      return;
    }
    if (init_ && !IsSidecar(spec_) && RegularStarted()) return TreatAsDone();
    SetWaiting(FirstReason(), "");
    if (previous && previous->has_laststate()) *out_.mutable_laststate() = previous->laststate();
  }

  // Of a container that does not run yet.
  const char* FirstReason() const {
    return in_.pod.spec().initcontainers_size() > 0 ? "PodInitializing" : "ContainerCreating";
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

  // Taken away because all containers of the pod restart (KEP-5532).
  void Removed(const v1::ContainerStatus& previous) {
    const char* text = "The container is removed because RestartAllContainers in place";
    auto* ended = out_.mutable_laststate()->mutable_terminated();
    ended->set_exitcode(kKilled);
    ended->set_reason(kRestartingAll);
    ended->set_message(text);
    out_.set_restartcount(std::max(previous.restartcount() + 1, out_.restartcount()));
    SetWaiting(kRestartingAll, text);
  }

  static void FillLost(const std::string& id, const char* message,
                       v1::ContainerStateTerminated* ended) {
    ended->set_exitcode(kKilled);
    ended->set_reason(kStatusUnknown);
    ended->set_message(message);
    if (!id.empty()) ended->set_containerid(id);
  }

  // It ran when we last looked and the runtime knows nothing of it now.
  void Vanished(const v1::ContainerStatus& previous) {
    out_.set_containerid(previous.containerid());
    if (in_.terminating) {
      FillLost(previous.containerid(), kLostAtEnd, out_.mutable_state()->mutable_terminated());
      return;
    }
    FillLost(previous.containerid(),
             "The container could not be located when the pod was deleted.  The container used to be "
             "Running",
             out_.mutable_laststate()->mutable_terminated());
    if (!in_.pod.metadata().has_deletiontimestamp())
      out_.set_restartcount(std::max(previous.restartcount() + 1, out_.restartcount()));
    SetWaiting(FirstReason(), "");
  }

  void Seen() {
    out_.set_image(newest_->image);
    out_.set_imageid(newest_->image_ref);
    out_.set_containerid(StrCat(in_.runtime_name, "://", newest_->id));
    out_.set_restartcount(static_cast<int>(newest_->restart_count));
    *out_.mutable_state() = StateOf(*newest_);
    if (before_ && before_->state == ContainerState::kExited)
      *out_.mutable_laststate() = StateOf(*before_);
    else CarryLastState();
    if (newest_->state == ContainerState::kRunning) Running();
    if (newest_->user && newest_->user->has_linux()) {
      auto* user = out_.mutable_user()->mutable_linux();
      user->set_uid(newest_->user->linux().uid());
      user->set_gid(newest_->user->linux().gid());
      for (int64_t g : newest_->user->linux().supplemental_groups())
        user->add_supplementalgroups(g);
    }
  }

  // The instance before may have been removed since it was seen, or never have been seen ended.
  void CarryLastState() {
    const v1::ContainerStatus* previous = Previous();
    if (!previous) return;
    if (previous->containerid() != out_.containerid() && previous->state().has_terminated())
      *out_.mutable_laststate() = previous->state();
    else if (previous->laststate().has_terminated() &&
             previous->laststate().terminated().containerid() != out_.containerid())
      *out_.mutable_laststate() = previous->laststate();
  }

  bool WasRunning() const {
    const v1::ContainerStatus* previous = Previous();
    return previous && (previous->state().has_running() ||
                        previous->state().terminated().reason() == kStatusUnknown);
  }

  v1::ContainerState StateOf(const ObservedContainer& c) const {
    v1::ContainerState state;
    switch (c.state) {
      case ContainerState::kCreated:  // about to start
        state.mutable_waiting()->set_reason(FirstReason());
        break;
      case ContainerState::kRunning:
        SetTimeNanos(c.started_at, state.mutable_running()->mutable_startedat());
        break;
      case ContainerState::kExited:
        FillTerminated(c, state.mutable_terminated());
        break;
      case ContainerState::kUnknown:
        if (WasRunning())
          FillLost(StrCat(in_.runtime_name, "://", c.id), kLostAtEnd, state.mutable_terminated());
        else
          state.mutable_waiting();
        break;
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
    if (in_.pod.metadata().has_deletiontimestamp()) return false;
    if (Forced()) return true;
    if (!newest_ || newest_->state != ContainerState::kExited) return true;
    if (ephemeral_) return false;
    if (init_ && !IsSidecar(spec_) && newest_->exit_code == 0) return false;
    return DecideRestart(in_.pod, spec_, newest_->exit_code) != RestartDecision::kNo;
  }

  bool Forced() const {
    return newest_ && newest_->state == ContainerState::kExited &&
           in_.start_again.contains(newest_->id);
  }

  // A reason to wait replaces an ended state, which moves down to lastState.
  void ApplyWaiting() {
    auto it = in_.waiting.find(spec_.name());
    const bool told = it != in_.waiting.end();
    // One we ended to start it again never counts as ended, whatever its policy is.
    if ((!told && !Forced()) || out_.state().has_running() || !WillRunAgain()) return LoseAtEnd();
    if (out_.state().has_terminated()) {
      *out_.mutable_laststate() = out_.state();
      out_.clear_state();
    }
    out_.mutable_state()->clear_waiting();
    if (told) SetWaiting(it->second.reason, it->second.message);
    else SetWaiting(FirstReason(), "");
  }

  // The last word on a container that should have run and of which nothing is known.
  void LoseAtEnd() {
    if (!in_.terminal || ephemeral_ || out_.state().has_terminated() || !EverCouldRun()) return;
    out_.clear_state();
    FillLost(out_.containerid(), kLostAtEnd, out_.mutable_state()->mutable_terminated());
  }

  // A regular container once the pod was initialized; an init container once it or one behind it ran.
  bool EverCouldRun() const {
    const auto& inits = in_.pod.spec().initcontainers();
    if (!init_) return inits.empty() || RegularStarted() || InitDone();
    int own = 0, last = 0;
    for (int i = 0; i < inits.size(); ++i) {
      if (inits[i].name() == spec_.name()) own = i;
      if (in_.seen.Newest(inits[i].name())) last = i;
    }
    return own <= last || RegularStarted();
  }

  bool InitDone() const {
    const v1::Container& last = *in_.pod.spec().initcontainers().rbegin();
    const ObservedContainer* seen = in_.seen.Newest(last.name());
    if (!seen || IsSidecar(last)) return seen && seen->started_at > 0;
    return seen->state == ContainerState::kExited && seen->exit_code == 0;
  }

  void Readiness() {
    // Nobody waits for an ephemeral container to be ready, and it has no probes.
    if (ephemeral_) return out_.set_ready(false);
    bool running = out_.state().has_running();
    bool started = running;
    if (running && spec_.has_startupprobe()) {
      const ProbeResult result = Result(in_.probes.startup);
      started = result == ProbeResult::kSuccess ||
                (result == ProbeResult::kUnknown && Same() && Same()->started());
    }
    out_.set_started(started);
    bool ready = started;
    if (ready && spec_.has_readinessprobe()) {
      const ProbeResult result = Result(in_.probes.readiness);
      ready = result == ProbeResult::kSuccess ||
              (result == ProbeResult::kUnknown && Same() && Same()->ready());
    }
    if (init_ && !IsSidecar(spec_))
      ready = out_.state().has_terminated() && out_.state().terminated().exitcode() == 0;
    out_.set_ready(ready);
  }

  // What was said of this very instance. After a restart of the agent it holds until a probe has
  // spoken (upstream with gate ChangeContainerStatusOnKubeletRestart off).
  const v1::ContainerStatus* Same() const {
    const v1::ContainerStatus* previous = Previous();
    return previous && previous->state().has_running() &&
                   previous->containerid() == out_.containerid()
               ? previous
               : nullptr;
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
      const std::string& asked = mount.recursivereadonly();
      const bool recursive =
          in_.recursive_read_only && (asked == "Enabled" || asked == "IfPossible");
      m->set_recursivereadonly(recursive ? "Enabled" : "Disabled");
    }
  }

  const StatusInput& in_;
  const v1::Container& spec_;
  const bool init_;
  const bool ephemeral_;
  const ObservedContainer* newest_ = nullptr;
  const ObservedContainer* before_ = nullptr;
  v1::ContainerStatus out_;
};

}  // namespace

v1::ContainerStatus MakeContainerStatus(const StatusInput& in, const v1::Container& spec,
                                        ContainerKind kind) {
  return ContainerStatusMaker(in, spec, kind).Make();
}

}  // namespace keelson::kubelet
