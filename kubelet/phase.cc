// SPDX-License-Identifier: Apache-2.0
// MakePhase of status.h: a pod's phase from the statuses of its containers.
#include <set>

#include "kubelet/container_status.h"
#include "kubelet/status.h"

namespace keelson::kubelet {

namespace {

// How one container counts for the phase.
struct Ending {
  bool ended = false;  // also when it waits to run again
  int exit_code = 0;
  bool runs_again = false;
};

Ending EndingOf(const v1::Pod& pod, const v1::Container& spec, const v1::ContainerStatus& s,
                const std::set<std::string>& forced) {
  const v1::ContainerState& state = s.state().has_terminated() ? s.state() : s.laststate();
  if (!state.has_terminated()) return {};
  const auto& end = state.terminated();
  const bool again = forced.contains(spec.name()) || end.reason() == kRestartingAll ||
                     DecideRestart(pod, spec, end.exitcode()) != RestartDecision::kNo;
  return {true, end.exitcode(), again};
}

// Counts of the phase rules.
struct Tally {
  int pending_init = 0, pending_sidecars = 0, failed_init = 0;
  int running = 0, waiting = 0, stopped = 0, unknown = 0, succeeded = 0;
  bool any_runs_again = false;
  bool regular_ever_started = false;
};

void TallyRegular(const v1::Pod& pod, const v1::Container& spec, const v1::ContainerStatus* s,
                  const std::set<std::string>& forced, Tally& t) {
  if (!s) {
    ++t.unknown;
    return;
  }
  const Ending ending = EndingOf(pod, spec, *s, forced);
  t.regular_ever_started |= s->state().has_running() || ending.ended;
  if (s->state().has_running()) {
    ++t.running;
  } else if (ending.ended) {
    ++t.stopped;
    if (s->state().has_terminated() && ending.exit_code == 0) ++t.succeeded;
    t.any_runs_again |= ending.runs_again;
  } else {
    ++t.waiting;
  }
}

// A sidecar that ended counts for nothing: the regular containers decide.
void TallySidecar(const v1::ContainerStatus* s, Tally& t) {
  if (!s) {
    ++t.unknown;
  } else if (s->state().has_running()) {
    ++t.running;
    if (!s->started()) ++t.pending_sidecars;
  } else if (!s->state().has_terminated() && !s->laststate().has_terminated()) {
    ++t.pending_sidecars;
    ++t.waiting;
  }
}

void TallyInit(const v1::Pod& pod, const v1::Container& spec, const v1::ContainerStatus* s,
               const std::set<std::string>& forced, Tally& t) {
  const Ending ending = s ? EndingOf(pod, spec, *s, forced) : Ending();
  if (!s || s->state().has_running() || !ending.ended) ++t.pending_init;
  else if (ending.exit_code != 0 && !ending.runs_again) ++t.failed_init;
}

const v1::ContainerStatus* Find(
    const google::protobuf::RepeatedPtrField<v1::ContainerStatus>& list, const std::string& name) {
  for (const auto& s : list)
    if (s.name() == name) return &s;
  return nullptr;
}

std::string PhaseOf(const Tally& t, bool must_end) {
  if (t.failed_init > 0) return "Failed";
  if (t.pending_init > 0 || (t.pending_sidecars > 0 && !t.regular_ever_started)) return "Pending";
  if (t.waiting > 0) return "Pending";
  if (t.running > 0 && t.unknown == 0) return "Running";
  if (t.running == 0 && t.stopped > 0 && t.unknown == 0) {
    if (t.any_runs_again && !must_end) return "Running";
    return t.succeeded == t.stopped ? "Succeeded" : "Failed";
  }
  return "Pending";
}

}  // namespace

std::string MakePhase(const v1::Pod& pod, const v1::PodStatus& status, bool terminal,
                      const std::set<std::string>& forced) {
  Tally t;
  for (const auto& c : pod.spec().containers())
    TallyRegular(pod, c, Find(status.containerstatuses(), c.name()), forced, t);
  for (const auto& c : pod.spec().initcontainers()) {
    const v1::ContainerStatus* s = Find(status.initcontainerstatuses(), c.name());
    if (IsSidecar(c)) TallySidecar(s, t);
    else TallyInit(pod, c, s, forced, t);
  }
  const bool must_end = terminal && !IsStaticPod(pod);
  std::string phase = PhaseOf(t, must_end);
  return must_end && !IsTerminalPhase(phase) ? "Failed" : phase;
}

}  // namespace keelson::kubelet
