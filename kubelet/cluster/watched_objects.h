// SPDX-License-Identifier: Apache-2.0
// Reflectors that ApiObjects is made of. For its files only; see api_objects.h.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "kubelet/client/reflector.h"
#include "kubelet/cluster/api_objects.h"

namespace keelson::kubelet::internal {

// Upstream's length for watches of single objects, which are many.
inline constexpr base::Nanos kObjectWatch = std::chrono::minutes(30);

inline absl::Status NotSynced(std::string_view word) {
  return absl::UnavailableError(
      base::StrCat("failed to sync ", word, " cache: timed out waiting for the condition"));
}
inline absl::Status NotThere(std::string_view word, std::string_view name) {
  return absl::NotFoundError(base::StrCat(word, " \"", name, "\" not found"));
}

// Single objects of a kind that has an `immutable`, each for as long as some pod refers to it.
template <typename T>
class WatchedObjects {
 public:
  using Ptr = std::shared_ptr<const T>;
  using Changed = std::function<void(const std::string& pod_uid)>;

  // `word` is the kind in messages.
  WatchedObjects(base::Loop& loop, client::ApiServer& api, std::string word,
                 ApiObjectsOptions options, Changed changed)
      : loop_(loop),
        api_(api),
        word_(std::move(word)),
        options_(options),
        changed_(std::move(changed)),
        endings_(loop) {}

  // From now on the pod refers to exactly these objects of its namespace.
  void Refer(const std::string& pod_uid, const std::string& ns,
             const std::set<std::string>& names) {
    for (const std::string& name : names)
      if (!name.empty()) ItemOf({ns, name})->pods.insert(pod_uid);
    for (auto it = items_.begin(); it != items_.end();) {
      const bool kept = it->first.ns == ns && names.contains(it->first.name);
      if (!kept) it->second->pods.erase(pod_uid);
      if (!it->second->pods.empty()) {
        ++it;
        continue;
      }
      End(std::move(it->second));
      it = items_.erase(it);
    }
  }

  base::Task<absl::StatusOr<Ptr>> Get(std::string ns, std::string name) {
    const auto found = items_.find({ns, name});
    if (found == items_.end() && name.empty()) co_return NotThere(word_, name);
    if (found == items_.end())
      co_return absl::FailedPreconditionError(
          base::StrCat("object \"", ns, "\"/\"", name, "\" not registered"));
    const std::shared_ptr<Item> item = found->second;
    const bool synced =
        co_await item->reflector.WaitSynced(loop_.clock().Monotonic() + options_.patience);
    if (!synced) {
      item->missed = true;
      co_return NotSynced(word_);
    }
    Ptr object = item->reflector.Find(ns, name);
    if (!object) co_return NotThere(word_, name);
    co_return object;
  }

  base::Task<void> Close() {
    for (auto& [key, item] : items_) End(std::move(item));
    items_.clear();
    co_await endings_.Join();
  }

 private:
  struct Item : std::enable_shared_from_this<Item> {
    Item(WatchedObjects& all, const client::ObjectKey& key)
        : owner(all),
          reflector(all.loop_, all.api_, OptionsOf(all, key), EventsOf(this)),
          run(all.loop_) {}

    WatchedObjects& owner;
    client::Reflector<T> reflector;
    std::set<std::string> pods;  // uids of those that refer to it
    bool missed = false;         // somebody asked before there was an answer
    base::TaskGroup run;         // of the reflector
  };

  static client::ReflectorOptions OptionsOf(const WatchedObjects& all,
                                            const client::ObjectKey& key) {
    client::ReflectorOptions options;
    options.ns = key.ns;
    options.name = key.name;
    options.min_watch = kObjectWatch;
    options.seed = all.options_.seed;
    return options;
  }
  static typename client::Reflector<T>::Events EventsOf(Item* item) {
    typename client::Reflector<T>::Events events;
    events.changed = [item](const client::ObjectKey&, const Ptr&, const Ptr& after) {
      // It stays as it is (KEP-1412); should it be deleted, pods that have it keep it.
      if (after && after->immutable()) item->owner.StopSoon(item->weak_from_this());
      if (item->reflector.synced()) item->owner.Tell(*item);
    };
    events.listed = [item] {
      if (std::exchange(item->missed, false)) item->owner.Tell(*item);
    };
    return events;
  }

  std::shared_ptr<Item> ItemOf(const client::ObjectKey& key) {
    std::shared_ptr<Item>& item = items_[key];
    if (!item) {
      item = std::make_shared<Item>(*this, key);
      item->run.Spawn(base::StrCat(word_, " ", key.ns, "/", key.name), item->reflector.Run());
    }
    return item;
  }

  void Tell(const Item& item) {
    const std::set<std::string> pods = item.pods;  // who is told may change what it refers to
    for (const std::string& uid : pods) changed_(uid);
  }

  // From within the reflector's own task, which must not end there.
  void StopSoon(std::weak_ptr<Item> weak) {
    loop_.Post([weak = std::move(weak)] {
      if (const auto item = weak.lock()) item->run.Cancel();
    });
  }

  void End(std::shared_ptr<Item> item) {
    item->run.Cancel();
    endings_.Spawn("end of a watch", Ended(std::move(item)));
  }
  // Lets go of the item once its reflector runs no more.
  static base::Task<void> Ended(std::shared_ptr<Item> item) { co_await item->run.Join(); }

  base::Loop& loop_;
  client::ApiServer& api_;
  const std::string word_;
  const ApiObjectsOptions options_;
  const Changed changed_;
  std::map<client::ObjectKey, std::shared_ptr<Item>> items_;
  base::TaskGroup endings_;
};

// All objects of a kind, from the first question on.
template <typename T>
class WatchedKind {
 public:
  using Ptr = std::shared_ptr<const T>;

  WatchedKind(base::Loop& loop, client::ApiServer& api, std::string word, ApiObjectsOptions options)
      : loop_(loop),
        word_(std::move(word)),
        patience_(options.patience),
        reflector_(loop, api, OptionsOf(options), {}),
        run_(loop) {}

  void Start() {
    if (!std::exchange(started_, true)) run_.Spawn(word_, reflector_.Run());
  }
  // Starts it, and waits for the first list.
  base::Task<bool> Synced() {
    Start();
    co_return co_await reflector_.WaitSynced(loop_.clock().Monotonic() + patience_);
  }
  base::Task<absl::StatusOr<Ptr>> Get(std::string name) {
    const bool synced = co_await Synced();
    if (!synced) co_return NotSynced(word_);
    Ptr object = reflector_.Find("", name);
    if (!object) co_return NotThere(word_, name);
    co_return object;
  }
  std::vector<Ptr> List() const { return reflector_.List(); }
  base::Task<void> Close() {
    started_ = true;
    co_await run_.CancelAndJoin();
  }

 private:
  static client::ReflectorOptions OptionsOf(const ApiObjectsOptions& options) {
    client::ReflectorOptions reflector;
    reflector.seed = options.seed;
    return reflector;
  }

  base::Loop& loop_;
  const std::string word_;
  const base::Nanos patience_;
  bool started_ = false;
  client::Reflector<T> reflector_;
  base::TaskGroup run_;
};

}  // namespace keelson::kubelet::internal
