// SPDX-License-Identifier: Apache-2.0
#include "test/simulation/world.h"

#include <algorithm>

#include "base/check.h"
#include "base/strings.h"
#include "kubelet/admission.h"

namespace keelson::simulation {

using base::StrCat;
using base::Task;
using kubelet::PodPtr;
namespace rt = ::runtime::v1;

PodPtr MakePod(const std::string& name, const std::string& uid, const std::string& restart_policy,
               const std::vector<Behaviour>& regular, const std::vector<Behaviour>& init,
               int sidecars) {
  auto pod = std::make_shared<kubelet::v1::Pod>();
  pod->mutable_metadata()->set_name(name);
  pod->mutable_metadata()->set_namespace_("default");
  pod->mutable_metadata()->set_uid(uid);
  auto& annotations = *pod->mutable_metadata()->mutable_annotations();
  annotations["kubernetes.io/config.source"] = "file";
  annotations["kubernetes.io/config.hash"] = uid;
  pod->mutable_spec()->set_nodename("node");
  pod->mutable_spec()->set_restartpolicy(restart_policy);
  pod->mutable_spec()->set_terminationgraceperiodseconds(3);
  auto fill = [](kubelet::v1::Container* c, std::string container_name, const Behaviour& b) {
    c->set_name(std::move(container_name));
    c->set_image("image:1");
    if (b.exit_code < 0) return;
    c->add_args("exit");
    c->add_args(StrCat(b.exit_code));
    c->add_args(StrCat(b.after_ms));
  };
  for (int i = 0; i < sidecars; ++i) {
    auto* c = pod->mutable_spec()->add_initcontainers();
    fill(c, StrCat("sidecar", i), {});
    c->set_restartpolicy("Always");
  }
  for (size_t i = 0; i < init.size(); ++i)
    fill(pod->mutable_spec()->add_initcontainers(), StrCat("init", i), init[i]);
  for (size_t i = 0; i < regular.size(); ++i)
    fill(pod->mutable_spec()->add_containers(), StrCat("c", i), regular[i]);
  return pod;
}

// One process of the agent. Torn down in the order a dead process is: first nothing runs any more,
// then the timers and calls in progress are dropped, then the objects.
struct World::Life {
  Life(World& w)
      : clock(w.clock_),
        loop(clock),
        runtime(loop, w.runtime_),
        files(loop, w.host_, w.random_),
        groups(loop, w.host_, w.random_),
        volumes(loop, w.host_, w.random_),
        images(loop, w.host_, w.random_),
        hooks(loop, w.host_),
        pleg(loop, runtime,
             {std::chrono::seconds(10), std::chrono::seconds(60), /*watch_processes=*/false},
             [this](const kubelet::PodUid& uid) { manager.OnRuntimeChange(uid); }),
        admission({1'000'000, int64_t{1} << 50, 1000}),
        services{loop,   runtime, pleg,  files,  volumes, groups,
                 images, events,  config, prober, hooks,   kubelet::WorkerOptions()},
        manager(services, SourcesOf(w), admission),
        tasks(loop) {
    if (!w.cluster_) return;
    cluster = std::make_unique<ClusterLife>(loop, *w.cluster_, w.random_,
                                            [this](kubelet::SourceUpdate update) {
                                              manager.Apply(std::move(update));
                                            });
    manager.OnReport([this](const kubelet::PodReport& report) { cluster->statuses.Set(report); });
  }
  static std::set<kubelet::PodSource> SourcesOf(const World& w) {
    if (!w.cluster_) return {kubelet::PodSource::kFile};
    return {kubelet::PodSource::kFile, kubelet::PodSource::kApi};
  }

  ~Life() {
    loop.Stop();
    if (cluster) cluster->server.Abandon();
    runtime.Disconnect();
    clock.CancelAll();
  }

  AgentClock clock;
  base::Loop loop;
  FakeRuntime runtime;
  FakeFiles files;
  FakeCgroups groups;
  FakeVolumes volumes;
  FakeImages images;
  FakeConfig config;
  NoProber prober;
  FakeHooks hooks;
  CountingEvents events;
  kubelet::Pleg pleg;
  kubelet::Admission admission;
  kubelet::PodServices services;
  kubelet::PodManager manager;
  std::unique_ptr<ClusterLife> cluster;
  bool started = false;
  base::TaskGroup tasks;
};

World::World(uint64_t seed, bool with_cluster) : random_(seed), runtime_(clock_, random_) {
  if (with_cluster) cluster_ = std::make_unique<ClusterState>(clock_);
  runtime_.serves_events = random_.Chance(0.6);
  runtime_.may_stop = [this](const std::string& uid) {
    if (disturbed.contains(uid)) return true;
    return !pods_.contains(uid) && !(cluster_ && cluster_->IsWanted(uid));
  };
}

World::~World() { KillAgent(); }

namespace {
// main() of the simulated agent.
Task<void> Main(base::Loop& loop, kubelet::Pleg& pleg, kubelet::PodManager& manager,
                base::TaskGroup& tasks, std::function<void()> started) {
  while (true) {
    absl::Status status = co_await pleg.Start();
    if (status.ok()) break;
    co_await base::Sleep(loop.clock(), std::chrono::milliseconds(200));
  }
  tasks.Spawn("pleg", pleg.Run());
  started();
  co_await manager.Run();
}
}  // namespace

void World::StartAgent() {
  KEELSON_CHECK(!life_);
  life_ = std::make_unique<Life>(*this);
  Life* life = life_.get();
  life->tasks.Spawn("main", Main(life->loop, life->pleg, life->manager, life->tasks, [this, life] {
                      life->started = true;
                      Tell();
                      if (life->cluster) life->cluster->Start(life->tasks);
                    }));
}

void World::KillAgent() { life_.reset(); }

void World::SetPods(std::vector<PodPtr> pods) {
  pods_.clear();
  for (auto& pod : pods) pods_[pod->metadata().uid()] = pod;
  if (life_ && life_->started) Tell();
}

void World::Tell() {
  kubelet::SourceUpdate update{kubelet::PodSource::kFile, {}};
  for (const auto& [uid, pod] : pods_) update.pods.push_back(pod);
  if (life_->cluster) life_->cluster->mirrors.Apply(update);
  life_->manager.Apply(std::move(update));
}

void World::Run(base::Nanos time) {
  base::MonoTime end = clock_.Monotonic() + time;
  do {
    if (life_) life_->loop.RunReady();
  } while (clock_.AdvanceToNext(end));
}

void World::SetReachable(bool reachable) { life_->cluster->server.SetReachable(reachable); }
std::vector<std::string>& World::requests() { return life_->cluster->server.requests; }

kubelet::PodManager& World::manager() { return life_->manager; }
kubelet::Admission& World::admission() { return life_->admission; }

std::string World::Describe(const std::string& uid) const {
  for (const auto& entry : life_->manager.Pods())
    if (entry.pod->metadata().uid() == uid)
      return StrCat(entry.doing, "\n", entry.status.ShortDebugString(), "\n");
  return "the agent does not know it\n";
}

std::map<std::string, PodPtr> World::Wanted() const {
  std::map<std::string, PodPtr> wanted = pods_;
  if (cluster_)
    for (const PodPtr& pod : cluster_->Wanted()) wanted[pod->metadata().uid()] = pod;
  return wanted;
}

std::string World::Problems() const {
  std::string problems;
  const std::map<std::string, PodPtr> wanted = Wanted();
  for (const auto& v : runtime_.violations) base::StrAppend(&problems, v, "\n");
  std::map<std::string, int> running;  // uid/container -> instances
  for (const auto& [id, c] : runtime_.containers) {
    std::string uid = runtime_.UidOf(c);
    if (!wanted.contains(uid)) base::StrAppend(&problems, "left over: ", id, " of ", uid, "\n");
    if (c.state == rt::CONTAINER_RUNNING)
      ++running[StrCat(uid, "/", c.config.metadata().name())];
  }
  for (const auto& [id, s] : runtime_.sandboxes)
    if (!wanted.contains(s.config.metadata().uid()))
      base::StrAppend(&problems, "left over: ", id, " of ", s.config.metadata().uid(), "\n");
  for (const auto* set : {&host_.pod_dirs, &host_.cgroups, &host_.volumes})
    for (const auto& uid : *set)
      if (!wanted.contains(uid)) base::StrAppend(&problems, "left over on the host: ", uid, "\n");
  for (const auto& [uid, pod] : wanted) {
    auto expect = [&](const kubelet::v1::Container& c, bool is_init) {
      if (c.args_size() > 0) return;
      if (is_init && !kubelet::IsSidecar(c)) return;
      std::string key = StrCat(uid, "/", c.name());
      if (running[key] != 1)
        base::StrAppend(&problems, key, " runs ", running[key], " times instead of once\n",
                        life_ ? Describe(uid) : "");
    };
    // A pod whose containers all end is done, and its sidecars with it.
    bool lasts = pod->spec().restartpolicy() == "Always" ||
                 std::any_of(pod->spec().containers().begin(), pod->spec().containers().end(),
                             [](const auto& c) { return c.args_size() == 0; });
    if (!lasts) continue;
    for (const auto& c : pod->spec().containers()) expect(c, false);
    for (const auto& c : pod->spec().initcontainers()) expect(c, true);
  }
  if (cluster_ && life_)
    problems += cluster_->Problems(life_->manager.Pods(), pods_, runtime_, disturbed);
  return problems;
}

}  // namespace keelson::simulation
