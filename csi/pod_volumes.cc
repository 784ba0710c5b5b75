// SPDX-License-Identifier: Apache-2.0
#include "csi/pod_volumes.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/errno_status.h"
#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "csi/containers.h"
#include "csi/empty_dir.h"
#include "csi/host_path.h"
#include "csi/mounts.h"
#include "csi/object_volumes.h"
#include "csi/projection.h"
#include "csi/sub_path.h"
#include "csi/volume_step.h"

namespace keelson::csi {

namespace v1 = ::k8s::v1;
using base::StrCat;
using base::Task;

namespace {

// Upstream's limit for a pod's volumes to come, and ours for those in the making to end.
constexpr base::Nanos kPatience = std::chrono::seconds(123);

using VolumeMap = std::map<std::string, MountedVolume>;

// Names of volumes that some container mounts or maps; the others are ignored, as upstream does.
std::set<std::string> UsedVolumes(const v1::Pod& pod) {
  std::set<std::string> used;
  ForEachContainer(pod, [&](const auto& c) {
    for (const auto& m : c.volumemounts()) used.insert(m.name());
    for (const auto& d : c.volumedevices()) used.insert(d.name());
  });
  return used;
}

const v1::Volume* FindVolume(const v1::Pod& pod, const std::string& name) {
  for (const auto& volume : pod.spec().volumes())
    if (volume.name() == name) return &volume;
  return nullptr;
}

template <typename Map>
bool SameMap(const Map& a, const Map& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& entry) {
           const auto other = b.find(entry.first);
           return other != b.end() && other->second == entry.second;
         });
}

// False only when no volume can look another way. (Maps in the spec may differ in order alone; then
// volumes are looked at for nothing.)
bool ShowsDifferently(const v1::Pod& a, const v1::Pod& b) {
  return !SameMap(a.metadata().labels(), b.metadata().labels()) ||
         !SameMap(a.metadata().annotations(), b.metadata().annotations()) ||
         a.spec().SerializeAsString() != b.spec().SerializeAsString();
}

// [a b], as Go prints a list.
std::string Brackets(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) base::StrAppend(&text, text.empty() ? "" : " ", name);
  return StrCat("[", text, "]");
}

absl::Status RemoveVolume(const std::string& dir) {
  RETURN_IF_ERROR(UnmountBelow(dir));
  return base::RemoveTree(dir);
}

// A volume of a pod: the directory of its plugin and its name.
struct VolumeId {
  std::string plugin, name;
  auto operator<=>(const VolumeId&) const = default;
};

// What pods/UID/volumes holds.
absl::StatusOr<std::vector<VolumeId>> FindOnDisk(const std::string& volumes_dir) {
  std::vector<VolumeId> found;
  auto plugins = base::ListDir(volumes_dir);
  if (absl::IsNotFound(plugins.status())) return found;
  if (!plugins.ok()) return plugins.status();
  for (const auto& plugin : *plugins) {
    auto names = base::ListDir(base::JoinPath(volumes_dir, plugin));
    if (!names.ok()) return names.status();
    for (const auto& name : *names) found.push_back({plugin, name});
  }
  return found;
}

// What is known of a pod's volumes. Alive while somebody works on it; `gone` once it is nobody's.
struct PodState {
  struct Volume : VolumeState {
    VolumePlugin* plugin = nullptr;
    MountedVolume mounted;  // while ready
  };
  PodPtr pod;
  std::map<VolumeId, Volume> volumes;
  std::vector<std::string> unserved;  // wanted volumes of types we have no plugin for
  bool read_disk = false;
  bool leaving = false;     // Unmount was called: nothing new begins
  base::Wakeup changed;     // a call ended, or leaving
  base::MonoTime wakes_at;  // the earliest timer; in the past: none
};
using StatePtr = std::shared_ptr<PodState>;

class NodeVolumes : public PodVolumes {
 public:
  NodeVolumes(base::Loop& loop, PodVolumesOptions options,
              std::vector<std::unique_ptr<VolumePlugin>> plugins)
      : loop_(loop), options_(std::move(options)), plugins_(std::move(plugins)), tasks_(loop) {}

  Task<absl::StatusOr<VolumeMap>> Mount(PodPtr pod) override {
    const std::string uid = pod->metadata().uid();
    StatePtr& known = pods_[uid];
    if (!known) known = std::make_shared<PodState>();
    const StatePtr state = known;
    state->leaving = false;
    Want(state, std::move(pod));
    absl::Status adopted = co_await Adopt(state);
    if (!adopted.ok()) co_return adopted;
    // Somebody asks anew: what failed before may work now.
    for (auto& [id, volume] : state->volumes)
      if (!volume.ready) volume.retry_at = base::MonoTime();
    Reconcile(state);
    co_return co_await Wait(state);
  }

  void Update(PodPtr pod) override {
    const auto found = pods_.find(pod->metadata().uid());
    if (found == pods_.end() || found->second->leaving) return;
    const StatePtr state = found->second;
    const bool shows = ShowsDifferently(*state->pod, *pod);
    Want(state, std::move(pod));
    if (shows) Refresh(state);
  }

  Task<absl::StatusOr<std::string>> BindSubPath(std::string pod_uid, std::string volume,
                                                MountedVolume mounted, std::string container,
                                                int index, std::string sub_path) override {
    std::string target =
        StrCat(PodDir(pod_uid), "/volume-subpaths/", volume, "/", container, "/", index);
    auto bind = [=]() -> absl::StatusOr<std::string> {
      auto fd = OpenSubPath(mounted.host_path, sub_path);
      if (!fd.ok()) return base::Annotate(fd.status(), StrCat("volume \"", volume, "\""));
      RETURN_IF_ERROR(BindSubPathAt(fd->get(), target));
      return target;
    };
    co_return co_await base::RunBlocking(loop_, std::move(bind));
  }

  Task<absl::Status> Unmount(std::string pod_uid) override {
    if (options_.objects) options_.objects->Unregister(pod_uid);
    absl::Status idle = co_await Leave(pod_uid);
    CO_RETURN_IF_ERROR(idle);
    const std::string dir = PodDir(pod_uid);
    absl::Status torn_down = co_await TearDownAll(dir + "/volumes");
    CO_RETURN_IF_ERROR(torn_down);
    auto remove = [dir]() -> absl::Status {
      if (!base::PathExists(dir)) return absl::OkStatus();
      RETURN_IF_ERROR(UnmountBelow(dir));
      RETURN_IF_ERROR(base::RemoveTree(dir + "/volume-subpaths"));
      return base::RemoveTree(dir + "/volumes");
    };
    absl::Status removed = co_await base::RunBlocking(loop_, std::move(remove));
    if (removed.ok()) pods_.erase(pod_uid);
    co_return removed;
  }

 private:
  std::string PodDir(const std::string& uid) const {
    return StrCat(options_.root_dir, "/pods/", uid);
  }
  std::string VolumeDir(const PodState& state, const VolumeId& id) const {
    return StrCat(PodDir(state.pod->metadata().uid()), "/volumes/", id.plugin, "/", id.name);
  }
  VolumePlugin* PluginFor(const v1::VolumeSource& source) const {
    for (const auto& plugin : plugins_)
      if (plugin->Serves(source)) return plugin.get();
    return nullptr;
  }
  VolumePlugin* PluginNamed(const std::string& dir_name) const {
    for (const auto& plugin : plugins_)
      if (plugin->dir_name() == dir_name) return plugin.get();
    return nullptr;
  }

  // --- What is wanted ---

  // From now on exactly what containers of this pod object use.
  void Want(const StatePtr& state, PodPtr pod) {
    state->pod = std::move(pod);
    state->unserved.clear();
    for (auto& [id, volume] : state->volumes) volume.wanted = false;
    const std::set<std::string> used = UsedVolumes(*state->pod);
    for (const auto& spec : state->pod->spec().volumes()) {
      if (!used.contains(spec.name())) continue;
      VolumePlugin* plugin = PluginFor(spec.volumesource());
      if (!plugin) {
        state->unserved.push_back(spec.name());
        continue;
      }
      PodState::Volume& volume = state->volumes[{plugin->dir_name(), spec.name()}];
      volume.wanted = true;
      volume.plugin = plugin;
    }
    Register(state);
  }

  void Register(const StatePtr& state) {
    if (!options_.objects) return;
    auto changed = [this, weak = std::weak_ptr<PodState>(state)] {
      if (const StatePtr alive = weak.lock()) Refresh(alive);
    };
    options_.objects->Register(state->pod, ReferencesOf(*state->pod), std::move(changed));
  }

  // What the volumes show has changed.
  void Refresh(const StatePtr& state) {
    for (auto& [id, volume] : state->volumes) {
      if (!volume.plugin->follows_changes()) continue;
      ++volume.wish;
      volume.retry_at = base::MonoTime();
      volume.delay = base::Nanos(0);
    }
    Reconcile(state);
  }

  // --- What is there ---

  // What an earlier agent, or an earlier form of the pod, left in its directory, once. Volumes that
  // are wanted are confirmed by setting them up; what other programs keep there is left alone.
  Task<absl::Status> Adopt(StatePtr state) {
    if (state->read_disk) co_return absl::OkStatus();
    auto find = [dir = PodDir(state->pod->metadata().uid()) + "/volumes"] {
      return FindOnDisk(dir);
    };
    auto found = co_await base::RunBlocking(loop_, std::move(find));
    if (!found.ok()) co_return found.status();
    state->read_disk = true;
    for (const VolumeId& id : *found) {
      VolumePlugin* plugin = PluginNamed(id.plugin);
      if (plugin) state->volumes[id].plugin = plugin;
    }
    co_return absl::OkStatus();
  }

  // --- From the one to the other ---

  void Reconcile(const StatePtr& state) {
    if (state->leaving) return;
    const base::MonoTime now = loop_.clock().Monotonic();
    std::vector<std::pair<VolumeId, bool>> begin;  // true: set up
    for (auto& [id, volume] : state->volumes) {
      const VolumeStep step = NextStep(volume, now);
      if (step.look_again) LookAgain(state, *step.look_again);
      if (step.action == VolumeAction::kNone) continue;
      volume.busy = true;
      begin.emplace_back(id, step.action == VolumeAction::kSetUp);
    }
    // Only now: a call that ends at once changes the volumes.
    for (const auto& [id, make] : begin)
      tasks_.Spawn(StrCat(make ? "set up " : "tear down ", id.name),
                   make ? SetUp(state, id) : TearDown(state, id));
  }

  void LookAgain(const StatePtr& state, base::MonoTime when) {
    const base::MonoTime now = loop_.clock().Monotonic();
    if (state->wakes_at > now && state->wakes_at <= when) return;
    state->wakes_at = when;
    loop_.clock().Schedule(when, [this, weak = std::weak_ptr<PodState>(state)] {
      if (const StatePtr alive = weak.lock()) Reconcile(alive);
    });
  }

  // A call ended: the volume is free again.
  void Settle(const StatePtr& state) {
    Reconcile(state);
    state->changed.Set();
  }

  Task<void> SetUp(StatePtr state, VolumeId id) {
    PodState::Volume& volume = state->volumes.at(id);  // stays while it is busy
    const uint64_t wish = volume.wish;
    const v1::Volume* spec = FindVolume(*state->pod, id.name);
    VolumeRequest request{state->pod, spec ? *spec : v1::Volume(), VolumeDir(*state, id)};
    auto mounted = co_await volume.plugin->SetUp(std::move(request));
    volume.busy = false;
    if (mounted.ok()) {
      volume.ready = true;
      volume.mounted = *std::move(mounted);
      volume.granted = wish;
      volume.delay = base::Nanos(0);
    } else {
      BackOff(&volume, loop_.clock().Monotonic());
      if (volume.wanted && !state->leaving) Report(*state, id, mounted.status());
    }
    Settle(state);
  }

  void Report(const PodState& state, const VolumeId& id, const absl::Status& status) {
    KLOG_WARNING("Cannot set up a volume; trying again", {"podUID", state.pod->metadata().uid()},
                 {"volume", id.name}, {"err", status});
    if (options_.on_failure)
      options_.on_failure(*state.pod, StrCat("MountVolume.SetUp failed for volume \"", id.name,
                                             "\" : ", base::Message(status)));
  }

  // Of one volume that a pod does not want any more.
  Task<void> TearDown(StatePtr state, VolumeId id) {
    const std::string dir = VolumeDir(*state, id);
    absl::Status status = co_await state->volumes.at(id).plugin->TearDown(dir);
    if (status.ok()) {
      auto remove = [dir] { return RemoveVolume(dir); };
      status = co_await base::RunBlocking(loop_, std::move(remove));
    }
    PodState::Volume& volume = state->volumes.at(id);
    volume.busy = volume.ready = false;
    if (status.ok() && !volume.wanted) {
      state->volumes.erase(id);
    } else if (!status.ok()) {
      KLOG_WARNING("Cannot tear down a volume; trying again", {"path", dir}, {"err", status});
      BackOff(&volume, loop_.clock().Monotonic());
    }
    Settle(state);
  }

  // --- Waiting ---

  Task<absl::StatusOr<VolumeMap>> Wait(StatePtr state) {
    const base::MonoTime deadline = loop_.clock().Monotonic() + kPatience;
    for (bool in_time = true;;) {
      if (state->leaving) co_return absl::CancelledError("the pod's volumes are being unmounted");
      VolumeMap ready;
      std::vector<std::string> missing;
      for (const auto& [id, volume] : state->volumes) {
        if (volume.wanted && !volume.ready) missing.push_back(id.name);
        if (volume.wanted && volume.ready) ready[id.name] = volume.mounted;
      }
      if (!state->unserved.empty()) co_return Missing(std::move(missing), state->unserved);
      if (missing.empty()) co_return ready;
      if (!in_time) co_return Missing(std::move(missing), {});
      in_time = co_await state->changed.WaitUntil(loop_.clock(), deadline);
    }
  }

  static absl::Status Missing(std::vector<std::string> missing,
                              const std::vector<std::string>& unserved) {
    missing.insert(missing.end(), unserved.begin(), unserved.end());
    std::sort(missing.begin(), missing.end());
    const std::string text =
        StrCat("unmounted volumes=", Brackets(missing),
               ", unattached volumes=[], failed to process volumes=", Brackets(unserved), ": ");
    if (unserved.empty()) return absl::DeadlineExceededError(text + "context deadline exceeded");
    return absl::UnimplementedError(
        text + "this node serves emptyDir, hostPath, configMap, secret, downwardAPI and projected");
  }

  // Nothing begins from now on. DeadlineExceeded: something goes on all the same.
  Task<absl::Status> Leave(std::string uid) {
    const auto found = pods_.find(uid);
    if (found == pods_.end()) co_return absl::OkStatus();
    const StatePtr state = found->second;
    state->leaving = true;
    state->changed.Set();
    const base::MonoTime deadline = loop_.clock().Monotonic() + kPatience;
    for (;;) {
      std::vector<std::string> busy;
      for (const auto& [id, volume] : state->volumes)
        if (volume.busy) busy.push_back(id.name);
      if (busy.empty()) co_return absl::OkStatus();
      if (loop_.clock().Monotonic() >= deadline)
        co_return absl::DeadlineExceededError(
            StrCat("volumes ", Brackets(busy), " are still being set up: what they use hangs"));
      co_await state->changed.WaitUntil(loop_.clock(), deadline);
    }
  }

  Task<absl::Status> TearDownAll(std::string volumes_dir) {
    auto find = [volumes_dir] { return FindOnDisk(volumes_dir); };
    auto found = co_await base::RunBlocking(loop_, std::move(find));
    if (!found.ok()) co_return found.status();
    std::vector<Task<absl::Status>> calls;
    for (const VolumeId& id : *found)
      if (VolumePlugin* plugin = PluginNamed(id.plugin))
        calls.push_back(plugin->TearDown(StrCat(volumes_dir, "/", id.plugin, "/", id.name)));
    auto results = co_await base::Gather(loop_, std::move(calls));
    absl::Status first;
    for (const auto& result : results) first.Update(result);
    co_return first;
  }

  base::Loop& loop_;
  const PodVolumesOptions options_;
  const std::vector<std::unique_ptr<VolumePlugin>> plugins_;
  std::map<std::string, StatePtr> pods_;  // by uid
  base::TaskGroup tasks_;
};

}  // namespace

std::unique_ptr<PodVolumes> MakePodVolumes(base::Loop& loop, PodVolumesOptions options) {
  auto plugins = MakeObjectPlugins(
      loop, {options.objects, options.node_memory_bytes, options.allocatable});
  plugins.push_back(MakeEmptyDirPlugin(loop, options.node_memory_bytes));
  plugins.push_back(MakeHostPathPlugin(loop));
  return MakePodVolumes(loop, std::move(options), std::move(plugins));
}

std::unique_ptr<PodVolumes> MakePodVolumes(base::Loop& loop, PodVolumesOptions options,
                                           std::vector<std::unique_ptr<VolumePlugin>> plugins) {
  return std::make_unique<NodeVolumes>(loop, std::move(options), std::move(plugins));
}

}  // namespace keelson::csi
