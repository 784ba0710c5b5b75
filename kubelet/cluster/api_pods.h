// SPDX-License-Identifier: Apache-2.0
// The pods that the API server has bound to this node: a source of pods, and the copy of their
// objects that statuses and mirror pods are held against.
//
// Loop only. Borrows `loop` and `api`. While the server is away the last copy stays; nothing is told
// before the first complete list, so that no pod is taken for gone.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/loop.h"
#include "base/task.h"
#include "kubelet/client/reflector.h"
#include "kubelet/pod.h"

namespace keelson::kubelet {

struct ApiPodsOptions {
  std::string node_name;
  uint64_t seed = 0;  // of the reflector's jitter; 0: random
};

class ApiPods {
 public:
  // `on_update` gets all pods that are no mirrors, once per burst of events.
  ApiPods(base::Loop& loop, client::ApiServer& api, ApiPodsOptions options,
          std::function<void(SourceUpdate)> on_update);

  // Until cancelled. REQUIRES: called once.
  base::Task<void> Run();

  // Of mirrors and others; null when there is none.
  PodPtr Find(const std::string& ns, const std::string& name) const;
  std::vector<PodPtr> Mirrors() const;
  bool synced() const { return pods_.synced(); }
  const client::ReflectorCore& core() const { return pods_.core(); }

  // Hears of each object as it appears, changes and goes (`after` null), before `on_update` does.
  using OnObject = std::function<void(const PodPtr& before, const PodPtr& after)>;
  // Hears that the copy was listed anew, after its changes were told.
  using OnListed = std::function<void()>;
  void Listen(OnObject on_object, OnListed on_listed);

 private:
  struct Listener {
    OnObject object;
    OnListed listed;
  };
  client::Reflector<v1::Pod>::Events EventsOf();
  void Prepare(client::Message* object) const;
  void Changed(const PodPtr& before, const PodPtr& after);
  base::Task<bool> RunReflector();
  base::Task<bool> RunDelivery();

  base::Loop& loop_;
  const std::function<void(SourceUpdate)> on_update_;
  std::vector<Listener> listeners_;
  base::Wakeup deliver_;
  client::Reflector<v1::Pod> pods_;
};

// A pod that stands at the API server for a static pod of this node (annotation config.mirror).
bool IsMirrorPod(const v1::Pod& pod);

}  // namespace keelson::kubelet
