// SPDX-License-Identifier: Apache-2.0
// A local copy of some objects, kept true by list and watch.
//
// Rules of resourceVersions (opaque: we pass on what servers gave us, and compare nothing):
//  1. The first list asks for "0": any server's cache will do. With `consistent` it asks for "",
//     which is what etcd holds at that moment.
//  2. The watch starts at the list's version, with bookmarks and a random length of 5-10 minutes.
//  3. Every event and every bookmark moves our version on, once it is applied.
//  4. A watch that ends, breaks or is turned away (no connection, 401, 403, 429, 5xx) is resumed at
//     our version: nothing is missed, so nothing is listed. Rights load late when servers start.
//  5. 410 Gone, as an answer or an ERROR event, or any other refusal: list anew, at "not older than
//     our version", so that a lagging server cannot take us back in time.
//  6. A list that is refused as too old (410) or too new (the server's history ends before our
//     version: etcd was restored) is repeated at "", and the answer taken as the truth, whatever
//     its version.
//  7. A list at "" comes in pages of 500, from one moment; when the next page has expired, all is
//     asked for at once.
//  8. What a new list lacks was deleted meanwhile, and is reported so.
// Failures back off 800 ms, doubling to 30 s, each with up to as much again by chance, or as long
// as the server's Retry-After if that is longer. Two minutes without a failure begin again at 800
// ms. The first 410 in two minutes does not wait: its cure is at hand.
//
// Loop only. Objects are shared and never change after they were given out; a new version is a new
// object. Callbacks run inside the reflector's task, after the store has changed; they may read the
// store, and must not destroy the reflector.
#pragma once

#include <compare>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/client/api_server.h"

namespace keelson::kubelet::client {

struct ObjectKey {
  std::string ns;  // empty for what has none
  std::string name;
  auto operator<=>(const ObjectKey&) const = default;
};
ObjectKey KeyOf(const Message& object);

using ObjectPtr = std::shared_ptr<const Message>;

struct ReflectorOptions {
  std::string ns;    // empty: all
  std::string name;  // one object: field selector metadata.name=, as the node authorizer wants
  std::string field_selector;  // beside `name`
  std::string label_selector;
  bool consistent = false;           // rule 1
  bool keep_managed_fields = false;  // else they are dropped, being most of many objects
  base::Nanos min_watch = std::chrono::minutes(5);  // watches last this long to twice this
  uint64_t seed = 0;                                // of jitter; 0: random
  std::function<void(Message*)> prepare = {};       // may amend an object before it is kept
};

struct ReflectorEvents {
  // An object appeared (no `before`), changed, or went (no `after`). A replaced object (other uid)
  // is first reported as gone. Not called when a list brings what we have (same resourceVersion).
  std::function<void(const ObjectKey& key, const ObjectPtr& before, const ObjectPtr& after)>
      changed;
  // The store holds a complete list, after its changes were reported: first time and each later
  // one.
  std::function<void()> listed;
};

// Without a type; Reflector<T> below is what to use.
class ReflectorCore {
 public:
  // `api` and `loop` outlive it.
  ReflectorCore(base::Loop& loop, ApiServer& api, const Resource& resource,
                ReflectorOptions options, ReflectorEvents events);
  ~ReflectorCore();

  // Lists and watches until cancelled. REQUIRES: called once; the reflector outlives the task.
  base::Task<void> Run();

  // True after the first complete list; stays true while the server is away.
  bool synced() const { return synced_; }
  // False when `deadline` passes first.
  base::Task<bool> WaitSynced(base::MonoTime deadline);
  // What went wrong last, OK while all is well: for readiness and for people.
  const absl::Status& last_error() const { return last_error_; }
  // When we last heard of the server through this watch: a list, an event, a bookmark, an end.
  base::MonoTime last_contact() const { return last_contact_; }
  const std::string& resource_version() const { return version_; }

  // Null when there is none.
  ObjectPtr Find(const ObjectKey& key) const;
  const std::map<ObjectKey, ObjectPtr>& objects() const { return objects_; }

 private:
  struct Listing {
    std::vector<std::shared_ptr<Message>> items;
    std::string version;
  };
  enum class Next { kList, kWatch };
  base::Task<absl::Status> ListAll();
  base::Task<absl::Status> ListPages(std::string version, bool paged, Listing* listing);
  base::Task<absl::Status> WatchOnce();
  void Apply(WatchEvent event);
  void Replace(Listing listing);
  void Put(std::shared_ptr<Message> object);
  void Remove(const ObjectKey& key, const ObjectPtr& last);
  // How long to wait after `error` happened now.
  base::Nanos NextBackOff(const absl::Status& error);
  std::string FieldSelector() const;

  base::Loop& loop_;
  ApiServer& api_;
  const Resource& resource_;
  const ReflectorOptions options_;
  const ReflectorEvents events_;

  std::map<ObjectKey, ObjectPtr> objects_;
  std::string version_;           // rule 3; empty before the first list
  bool version_refused_ = false;  // rule 6, until the next list
  bool synced_ = false;
  base::Wakeup first_sync_;  // set when synced_ becomes true
  absl::Status last_error_;
  base::MonoTime last_contact_;
  std::optional<base::MonoTime> last_failure_, last_gone_;
  base::Nanos back_off_{0};
  std::mt19937_64 random_;
};

// Reflector<k8s::v1::Pod> pods(loop, api, {.field_selector = "spec.nodeName=a"},
//                              {.changed = [&](auto& key, auto& before, auto& after) {...}});
// group.Spawn("pods", pods.Run());
template <typename T>
class Reflector {
 public:
  using Ptr = std::shared_ptr<const T>;
  struct Events {
    std::function<void(const ObjectKey& key, const Ptr& before, const Ptr& after)> changed;
    std::function<void()> listed;
  };

  Reflector(base::Loop& loop, ApiServer& api, ReflectorOptions options, Events events)
      : core_(loop, api, ResourceOf<T>(), std::move(options), Wrap(std::move(events))) {}

  base::Task<void> Run() { return core_.Run(); }
  base::Task<bool> WaitSynced(base::MonoTime deadline) { return core_.WaitSynced(deadline); }
  bool synced() const { return core_.synced(); }
  Ptr Find(const std::string& ns, const std::string& name) const {
    return std::static_pointer_cast<const T>(core_.Find({ns, name}));
  }
  // In order of namespace and name.
  std::vector<Ptr> List() const {
    std::vector<Ptr> all;
    for (const auto& [key, object] : core_.objects())
      all.push_back(std::static_pointer_cast<const T>(object));
    return all;
  }
  const ReflectorCore& core() const { return core_; }

 private:
  static ReflectorEvents Wrap(Events events) {
    ReflectorEvents wrapped;
    wrapped.listed = std::move(events.listed);
    if (!events.changed) return wrapped;
    wrapped.changed = [changed = std::move(events.changed)](
                          const ObjectKey& key, const ObjectPtr& before, const ObjectPtr& after) {
      changed(key, std::static_pointer_cast<const T>(before),
              std::static_pointer_cast<const T>(after));
    };
    return wrapped;
  }

  ReflectorCore core_;
};

}  // namespace keelson::kubelet::client
