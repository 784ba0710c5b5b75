// SPDX-License-Identifier: Apache-2.0
#include "probes/node_prober.h"

#include <algorithm>
#include <random>

#include "base/log.h"
#include "base/strings.h"

namespace keelson::probes {

using base::StrCat;
using base::Task;

namespace v1 = k8s::v1;

namespace {

// How long before our own start an instance must have begun to be an earlier agent's, as upstream.
constexpr std::chrono::seconds kRestartGrace(10);
constexpr ProbeKind kKinds[] = {ProbeKind::kLiveness, ProbeKind::kReadiness, ProbeKind::kStartup};

const v1::Container* FindContainer(const v1::Pod& pod, const std::string& name) {
  for (const auto& container : pod.spec().containers())
    if (container.name() == name) return &container;
  // Of init containers only sidecars can have probes (KEP-753).
  for (const auto& container : pod.spec().initcontainers())
    if (container.name() == name)
      return container.restartpolicy() == "Always" ? &container : nullptr;
  return nullptr;
}

// A number in [0, 1).
double Random() {
  thread_local std::minstd_rand generator(std::random_device{}());
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

std::map<std::string, Result>& Of(Results& results, ProbeKind kind) {
  switch (kind) {
    case ProbeKind::kLiveness:
      return results.liveness;
    case ProbeKind::kReadiness:
      return results.readiness;
    case ProbeKind::kStartup:
      return results.startup;
  }
  return results.readiness;
}

}  // namespace

struct NodeProber::PodEntry {
  PodPtr pod;
  std::vector<std::string> ips;
  bool terminating = false;
  Results results;
  std::map<std::string, InstancePtr> instances;  // by container id
};

// One running container with probes.
struct NodeProber::Instance {
  Instance(base::Loop& loop, PodPtr p, const v1::Container* c, std::string i)
      : pod(std::move(p)), container(c), id(std::move(i)), killers(loop), readiness(loop) {}
  const PodPtr pod;  // as it was then: `container` is a part of it, and probes cannot be changed
  const v1::Container* const container;
  const std::string id;
  base::WallTime started_at;
  bool has_started = false;  // has no startup probe, or that has succeeded
  base::Wakeup live_gate;    // opens then, for the two other probes
  base::Wakeup ready_gate;
  void OpenGates() {
    has_started = true;
    live_gate.Set();
    ready_gate.Set();
  }
  base::TaskGroup killers;    // liveness and startup
  base::TaskGroup readiness;
};

NodeProber::NodeProber(base::Loop& loop, cri::Runtime& runtime, OnEvent on_event,
                       std::function<void(const std::string& pod_uid)> on_result)
    : loop_(loop),
      on_event_(on_event),
      on_result_(std::move(on_result)),
      checks_(loop, runtime),
      hooks_(loop, runtime, on_event),
      begun_(loop.clock().Monotonic()),
      ending_(loop) {}

NodeProber::~NodeProber() = default;

void NodeProber::Update(PodPtr pod, std::vector<Target> running, std::vector<std::string> pod_ips) {
  PodEntryPtr& entry = pods_[pod->metadata().uid()];
  if (!entry) entry = std::make_shared<PodEntry>();
  entry->pod = std::move(pod);
  if (!pod_ips.empty()) entry->ips = std::move(pod_ips);
  std::erase_if(entry->instances, [&](const auto& item) {
    const auto& [id, instance] = item;
    const bool runs = std::any_of(running.begin(), running.end(),
                                  [&](const Target& target) { return target.id == id; });
    if (runs) return false;
    for (ProbeKind kind : kKinds) Of(entry->results, kind).erase(id);
    Stop(instance);
    return true;
  });
  for (const Target& target : running)
    if (!entry->instances.contains(target.id)) Start(entry, target);
}

void NodeProber::Start(const PodEntryPtr& pod, const Target& target) {
  const v1::Container* container = FindContainer(*pod->pod, target.container);
  if (!container) return;
  const bool probed = std::any_of(std::begin(kKinds), std::end(kKinds), [&](ProbeKind kind) {
    return ProbeOf(*container, kind) != nullptr;
  });
  if (!probed) return;
  auto instance = std::make_shared<Instance>(loop_, pod->pod, container, target.id);
  instance->started_at = target.started_at;
  instance->has_started = !container->has_startupprobe();
  pod->instances[target.id] = instance;
  for (ProbeKind kind : kKinds)
    if (ProbeOf(*container, kind)) Spawn(pod, instance, kind);
}

void NodeProber::Spawn(const PodEntryPtr& pod, const InstancePtr& instance, ProbeKind kind) {
  const v1::Probe& probe = *ProbeOf(*instance->container, kind);
  const bool kills = kind != ProbeKind::kReadiness;
  if (kills && pod->terminating) return;
  base::Clock& clock = loop_.clock();
  const base::MonoTime now = clock.Monotonic();
  // Of an instance that is older than we are, its readiness is what it was until we have asked.
  const bool older = clock.Now() - instance->started_at > now - begun_ + kRestartGrace;
  if (kind != ProbeKind::kReadiness || !older)
    Of(pod->results, kind)[instance->id] = ProbeState(kind, probe).initial();
  const base::MonoTime first =
      FirstRun(instance->started_at, clock.Now(), now,
               std::chrono::seconds(std::max(0, probe.initialdelayseconds())));
  const base::MonoTime spread = now + Spread(now - begun_, PeriodOf(probe), Random());
  base::TaskGroup& group = kills ? instance->killers : instance->readiness;
  group.Spawn(StrCat(KindName(kind), " probe of ", instance->id),
              Work(pod, instance, kind, std::max(first, spread)));
}

Task<void> NodeProber::Work(PodEntryPtr pod, InstancePtr instance, ProbeKind kind,
                            base::MonoTime turn) {
  base::Clock& clock = loop_.clock();
  const v1::Probe& probe = *ProbeOf(*instance->container, kind);
  ProbeState state(kind, probe);
  if (kind == ProbeKind::kLiveness && !instance->has_started) co_await instance->live_gate.Wait();
  if (kind == ProbeKind::kReadiness && !instance->has_started) co_await instance->ready_gate.Wait();
  turn = std::max(turn, clock.Monotonic());
  while (!state.finished()) {
    co_await base::SleepUntil(clock, turn);
    Question question{instance->pod, instance->container, &probe, instance->id,
                      pod->ips.empty() ? "" : pod->ips.front()};
    const base::MonoTime asked = clock.Monotonic();
    Answer answer = co_await checks_.Ask(std::move(question));
    if (on_answer_)
      on_answer_(*pod->pod, instance->container->name(), kind, answer.verdict,
                 clock.Monotonic() - asked);
    if (auto event = EventOf(kind, answer))
      on_event_(*pod->pod, instance->container->name(), true, event->reason, event->message);
    if (auto result = state.Observe(answer)) Publish(pod, instance, kind, *result);
    turn = NextTurn(turn, PeriodOf(probe), clock.Monotonic());
  }
}

void NodeProber::Publish(const PodEntryPtr& pod, const InstancePtr& instance, ProbeKind kind,
                         Result result) {
  Result& now = Of(pod->results, kind)[instance->id];
  if (now == result) return;
  now = result;
  KLOG_V(1, "Probe result changed", {"pod", pod->pod->metadata().name()},
         {"container", instance->container->name()}, {"probe", KindName(kind)},
         {"good", result == Result::kSuccess});
  if (kind == ProbeKind::kStartup && result == Result::kSuccess) instance->OpenGates();
  const std::string uid = pod->pod->metadata().uid();
  on_result_(uid);
}

const Results& NodeProber::ResultsOf(const std::string& pod_uid) const {
  static const Results kNone;
  auto it = pods_.find(pod_uid);
  return it == pods_.end() ? kNone : it->second->results;
}

void NodeProber::BeginTermination(const std::string& pod_uid) {
  auto it = pods_.find(pod_uid);
  if (it == pods_.end()) return;
  PodEntry& pod = *it->second;
  pod.terminating = true;
  for (const auto& [id, instance] : pod.instances) {
    instance->killers.Cancel();
    for (ProbeKind kind : {ProbeKind::kLiveness, ProbeKind::kStartup})
      if (auto result = Of(pod.results, kind).find(id); result != Of(pod.results, kind).end())
        result->second = Result::kSuccess;
    instance->OpenGates();
  }
}

void NodeProber::Remove(const std::string& pod_uid) {
  auto node = pods_.extract(pod_uid);
  if (node.empty()) return;
  for (const auto& [id, instance] : node.mapped()->instances) Stop(instance);
}

void NodeProber::Stop(const InstancePtr& instance) {
  instance->killers.Cancel();
  instance->readiness.Cancel();
  if (instance->killers.size() + instance->readiness.size() == 0) return;
  ending_.Spawn("end of probes", JoinBoth(instance));
}

Task<void> NodeProber::JoinBoth(InstancePtr instance) {
  co_await instance->killers.Join();
  co_await instance->readiness.Join();
}

Task<void> NodeProber::Close() {
  for (const auto& [uid, pod] : pods_)
    for (const auto& [id, instance] : pod->instances) Stop(instance);
  co_await ending_.Join();
  pods_.clear();
}

size_t NodeProber::workers() const {
  size_t count = 0;
  for (const auto& [uid, pod] : pods_)
    for (const auto& [id, instance] : pod->instances)
      count += instance->killers.size() + instance->readiness.size();
  return count;
}

}  // namespace keelson::probes
