// SPDX-License-Identifier: Apache-2.0
// Shows static pods at the API server: a mirror pod for each, made again when somebody deletes it,
// replaced when the manifest changes, deleted when that goes.
//
// Loop only; borrows everything it is given. Waits while the node is not registered; a mirror that
// cannot be made (no such namespace, server away) is tried again, and holds up no other.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>

#include "absl/status/status.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/cluster/api_pods.h"

namespace k8s::v1 {
class Node;
}

namespace keelson::kubelet {

struct MirrorPodsOptions {
  // Sources of static pods that there are: before each has spoken no mirror is taken for an orphan.
  std::set<PodSource> sources;
  // Whether a static pod of this full name is to end and still may run: until then its mirror shows
  // that, as upstream's does. Wake() tells of a change.
  std::function<bool(const std::string& full_name)> ending = [](const std::string&) {
    return false;
  };
  base::Nanos retry_first = std::chrono::seconds(1);
  base::Nanos retry_max = std::chrono::seconds(30);
  uint64_t seed = 0;  // of jitter; 0: random
};

class MirrorPods {
 public:
  // `node` is the node's object at the server, null before it is registered.
  MirrorPods(base::Loop& loop, client::ApiServer& api, ApiPods& pods,
             std::function<const v1::Node*()> node, MirrorPodsOptions options);

  // What a source of static pods wants now, in full; updates of others are ignored.
  void Apply(const SourceUpdate& update);
  // The node was registered, or a pod has ended: look now, not at the next turn.
  void Wake() { wake_.Set(); }
  // Until cancelled. REQUIRES: called once.
  base::Task<void> Run();

 private:
  struct Trouble {  // of one mirror
    base::Nanos delay{0};
    base::MonoTime retry_at;
  };

  base::Task<void> Look();
  base::Task<void> Keep(client::ObjectKey key, PodPtr pod);
  base::Task<absl::Status> Replace(PodPtr mirror);
  base::Task<absl::Status> Make(PodPtr pod);
  bool Resting(const client::ObjectKey& key) const;
  void Note(const client::ObjectKey& key, const absl::Status& status, std::string_view what);

  base::Loop& loop_;
  client::ApiServer& api_;
  ApiPods& pods_;
  const std::function<const v1::Node*()> node_;
  const MirrorPodsOptions o_;
  std::map<PodSource, std::map<client::ObjectKey, PodPtr>> wanted_;
  std::set<client::ObjectKey> made_;  // and not yet seen
  std::set<PodUid> deleted_;          // and not yet seen gone
  std::map<client::ObjectKey, Trouble> trouble_;
  base::Wakeup wake_;
  std::mt19937_64 random_;
};

// The mirror of `pod` on `node`. Pure.
v1::Pod MirrorOf(const v1::Pod& pod, const v1::Node& node);
// Whether `mirror` shows this very static pod.
bool IsMirrorOf(const v1::Pod& mirror, const v1::Pod& pod);

}  // namespace keelson::kubelet
