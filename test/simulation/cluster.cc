// SPDX-License-Identifier: Apache-2.0
#include "test/simulation/cluster.h"

#include "base/check.h"
#include "base/strings.h"
#include "kubelet/status.h"

namespace keelson::simulation {

using base::StrCat;
using kubelet::PodPtr;
using std::chrono::milliseconds;
using std::chrono::seconds;
namespace v1 = kubelet::v1;
namespace client = kubelet::client;
namespace rt = ::runtime::v1;

namespace {

constexpr char kNode[] = "node";

apiserver::Fault FaultOf(const ApiFaults& faults, Random& random) {
  apiserver::Fault fault;
  fault.delay = random.Between(milliseconds(0), milliseconds(20));
  if (faults.down) {
    fault.refuse = true;
    fault.delay = random.Between(milliseconds(0), seconds(5));
    return fault;
  }
  if (!faults.on) return fault;
  if (random.Chance(faults.slow)) fault.delay = random.Between(milliseconds(0), seconds(5));
  fault.refuse = random.Chance(faults.refuse);
  fault.lose = random.Chance(faults.lose);
  if (random.Chance(faults.trouble)) {
    constexpr int kErrors[] = {409, 429, 500};
    fault.error = kErrors[random.Below(3)];
    if (fault.error == 429) fault.retry_after = seconds(random.Below(3));
  }
  return fault;
}

// What people look at, in a line.
std::string Words(const v1::PodStatus& status) {
  std::string words = status.phase();
  for (const auto& c : status.conditions()) base::StrAppend(&words, " ", c.type(), "=", c.status());
  auto add = [&](const v1::ContainerStatus& c) {
    base::StrAppend(&words, " ", c.name(), ":", c.containerid(), "x", c.restartcount(),
                    c.ready() ? "+" : "-", c.state().has_running() ? "R" : "",
                    c.state().has_terminated() ? "T" : "", c.state().waiting().reason());
  };
  for (const auto& c : status.initcontainerstatuses()) add(c);
  for (const auto& c : status.containerstatuses()) add(c);
  return words;
}

}  // namespace

ClusterState::ClusterState(base::VirtualClock& clock) : store(clock) {
  node.mutable_metadata()->set_name(kNode);
  node.mutable_metadata()->set_uid("node-uid");
}

void ClusterState::Create(const v1::Pod& pod) {
  v1::Pod object = pod;
  object.mutable_metadata()->clear_annotations();
  object.mutable_metadata()->set_generation(1);
  object.mutable_spec()->set_nodename(kNode);
  object.mutable_status()->set_phase("Pending");
  store.Put(object);
}

void ClusterState::Delete(const v1::Pod& pod, int64_t grace) {
  client::ApiRequest request;
  request.verb = client::Verb::kDelete;
  request.resource = &client::ResourceOf<v1::Pod>();
  request.ns = pod.metadata().namespace_();
  request.name = pod.metadata().name();
  auto options = std::make_shared<k8s::meta::v1::DeleteOptions>();
  options->set_graceperiodseconds(grace);
  request.body = options;
  KEELSON_CHECK(store.Do(request, nullptr).ok());
}

void ClusterState::ForceDelete(const v1::Pod& pod) {
  store.Erase<v1::Pod>(pod.metadata().namespace_(), pod.metadata().name());
}

void ClusterState::RemoveFinalizers(const v1::Pod& pod) {
  if (pod.metadata().finalizers_size() == 0) return;
  const auto& meta = pod.metadata();
  if (meta.has_deletiontimestamp() && meta.deletiongraceperiodseconds() == 0)
    return ForceDelete(pod);
  v1::Pod object = pod;
  object.mutable_metadata()->clear_finalizers();
  store.Put(object);
}

void ClusterState::SetGate(const v1::Pod& pod, const std::string& type) {
  v1::Pod object = pod;
  v1::PodCondition* gate = nullptr;
  for (auto& c : *object.mutable_status()->mutable_conditions())
    if (c.type() == type) gate = &c;
  if (!gate) gate = object.mutable_status()->add_conditions();
  gate->set_type(type);
  gate->set_status(gate->status() == "True" ? "False" : "True");
  store.Put(object);
}

void ClusterState::OverwriteStatus(const v1::Pod& pod) {
  v1::Pod object = pod;
  object.mutable_status()->clear_containerstatuses();
  object.mutable_status()->set_hostip("203.0.113.9");
  for (auto& c : *object.mutable_status()->mutable_conditions())
    if (c.type() == "Ready") c.set_status("Unknown");
  store.Put(object);
}

std::vector<PodPtr> ClusterState::Pods() const {
  std::vector<PodPtr> pods;
  for (auto& pod : store.All<v1::Pod>())
    if (!kubelet::IsMirrorPod(*pod)) pods.push_back(std::move(pod));
  return pods;
}

std::vector<PodPtr> ClusterState::Mirrors() const {
  std::vector<PodPtr> pods;
  for (auto& pod : store.All<v1::Pod>())
    if (kubelet::IsMirrorPod(*pod)) pods.push_back(std::move(pod));
  return pods;
}

std::vector<PodPtr> ClusterState::Wanted() const {
  std::vector<PodPtr> pods;
  for (auto& pod : Pods())
    if (!pod->metadata().has_deletiontimestamp()) pods.push_back(std::move(pod));
  return pods;
}

bool ClusterState::IsWanted(const std::string& uid) const {
  for (const auto& pod : Wanted())
    if (pod->metadata().uid() == uid) return true;
  return false;
}

std::string ClusterState::Problems(const std::vector<kubelet::PodManager::Entry>& entries,
                                   const std::map<std::string, PodPtr>& statics,
                                   const RuntimeState& runtime,
                                   const std::set<std::string>& disturbed) const {
  std::string problems;
  std::map<std::string, std::string> shown;  // by uid: what the agent thinks
  for (const auto& entry : entries) shown[entry.pod->metadata().uid()] = Words(entry.status);
  for (const PodPtr& pod : Pods()) {
    const std::string& uid = pod->metadata().uid();
    const v1::PodStatus& status = pod->status();
    if (pod->metadata().has_deletiontimestamp())
      base::StrAppend(&problems, uid, " was deleted and its object is there\n");
    std::set<std::string> ends;  // by themselves, perhaps just now
    for (const auto& c : pod->spec().containers())
      if (c.args_size() > 0) ends.insert(c.name());
    for (const auto& c : status.containerstatuses()) {
      if (c.state().has_running() && !ends.contains(c.name())) {
        const std::string id = c.containerid().substr(c.containerid().find("//") + 2);
        auto found = runtime.containers.find(id);
        if (found == runtime.containers.end() || found->second.state != rt::CONTAINER_RUNNING)
          base::StrAppend(&problems, uid, "/", c.name(), " is shown running and is not\n");
      }
    }
    for (const auto& c : pod->spec().containers()) {
      if (c.args_size() > 0 || disturbed.contains(uid)) continue;
      for (const auto& s : status.containerstatuses())
        if (s.name() == c.name() && s.restartcount() != 0)
          base::StrAppend(&problems, uid, "/", c.name(), " restarted\n");
    }
    // A gate of ours holds back Ready alone.
    if (!shown.contains(uid)) base::StrAppend(&problems, uid, " is unknown to the agent\n");
  }
  for (const auto& entry : entries) {
    const auto& meta = entry.pod->metadata();
    const auto object = store.Find<v1::Pod>(meta.namespace_(), meta.name());
    if (!object) {
      base::StrAppend(&problems, meta.uid(), " has no object\n");
      continue;
    }
    // Conditions of others come in any order.
    std::string theirs = Words(object->status()), ours = Words(entry.status);
    std::sort(theirs.begin(), theirs.end());
    std::sort(ours.begin(), ours.end());
    if (theirs != ours)
      base::StrAppend(&problems, meta.uid(), " is shown as\n  ", Words(object->status()),
                      "\n  and is\n  ", Words(entry.status), "\n");
  }
  if (Mirrors().size() != statics.size())
    base::StrAppend(&problems, Mirrors().size(), " mirrors of ", statics.size(), " static pods\n");
  for (const PodPtr& mirror : Mirrors()) {
    const auto hash = kubelet::Annotation(*mirror, kubelet::kConfigMirror);
    if (!statics.contains(*hash)) base::StrAppend(&problems, *hash, " has a mirror and is gone\n");
  }
  return problems;
}

ClusterLife::ClusterLife(base::Loop& loop, ClusterState& state, Random& random,
                         std::function<void(kubelet::SourceUpdate)> on_pods)
    : server(loop, state.store),
      pods(loop, server, {kNode, 1 + random.Below(1000)}, std::move(on_pods)),
      statuses(loop, server, pods, {.seed = 1 + random.Below(1000)}),
      mirrors(loop, server, pods, [&state] { return &state.node; },
              {.sources = {kubelet::PodSource::kFile}, .seed = 1 + random.Below(1000)}) {
  server.fault = [&state, &random](const std::string&) { return FaultOf(state.faults, random); };
}

void ClusterLife::Start(base::TaskGroup& tasks) {
  tasks.Spawn("api pods", pods.Run());
  tasks.Spawn("statuses", statuses.Run());
  tasks.Spawn("mirrors", mirrors.Run());
}

}  // namespace keelson::simulation
