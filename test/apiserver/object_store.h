// SPDX-License-Identifier: Apache-2.0
// What a kube-apiserver with etcd does with objects, as far as a node can tell: versions, patches,
// preconditions, deletion with grace and finalizers, selectors, watches that resume, history that
// is forgotten. In memory, no I/O; the clock is the caller's.
//
// Behind both FakeApiServer (simulations, unit tests) and StubServer (HTTP/2, for the real agent).
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "kubelet/client/api_server.h"
#include "test/apiserver/selector.h"

namespace keelson::apiserver {

using kubelet::client::ApiRequest;
using kubelet::client::Message;
using kubelet::client::Resource;
using kubelet::client::WatchEvent;
using kubelet::client::WatchOptions;

using ObjectPtr = std::shared_ptr<const Message>;

class ObjectStore {
 public:
  // `clock` gives creation, deletion and token times; skew() is added, as on a server whose clock
  // is off.
  explicit ObjectStore(base::Clock& clock) : clock_(clock) {}

  // The request of a client. Errors are ApiErrors. TokenRequests, TokenReviews and
  // SubjectAccessReviews are answered by the hooks below and not stored.
  absl::Status Do(const ApiRequest& request, Message* answer);

  // --- For tests, in the verbs of a person with kubectl ---
  // Creates or replaces; returns it as stored. Metadata the server owns is filled in.
  ObjectPtr Put(const Message& object);
  template <typename T>
  std::shared_ptr<const T> Find(const std::string& ns, const std::string& name) const {
    return std::static_pointer_cast<const T>(FindObject(client_resource<T>(), ns, name));
  }
  template <typename T>
  std::vector<std::shared_ptr<const T>> All() const {
    std::vector<std::shared_ptr<const T>> all;
    for (const auto& object : AllObjects(client_resource<T>()))
      all.push_back(std::static_pointer_cast<const T>(object));
    return all;
  }
  // At once, whatever grace or finalizers say.
  template <typename T>
  void Erase(const std::string& ns, const std::string& name) {
    EraseObject(client_resource<T>(), ns, name);
  }

  // --- Faults ---
  // Forgets history up to now: older watches and lists are Gone.
  void Compact();
  // Lists at "0" and "not older than" what it had then see the present state; with false, changes
  // again.
  void FreezeCache(bool frozen);
  // A restore from backup: state stays, versions go back by `by`, history is lost.
  void TurnBack(uint64_t by);
  void set_skew(base::Nanos skew) { skew_ = skew; }
  base::WallTime Now() const { return clock_.Now() + skew_; }

  // --- Policy ---
  std::function<void(const ApiRequest&, Message* object)> on_create;  // as an admission webhook
  std::map<std::string, std::string> users_by_token;                  // TokenReview
  std::function<bool(const Message& subject_access_review)> allow;    // none: everything
  int64_t tokens_issued = 0;

  // --- Watches ---
  uint64_t version() const { return version_; }
  // OutOfRange (410) when `after` is forgotten.
  absl::Status CheckWatch(uint64_t after) const;
  // The next event for the selector after version `*position`, which moves on; nullopt: none yet.
  std::optional<WatchEvent> NextEvent(const Resource& resource, const std::string& ns,
                                      const Selector& selector, uint64_t* position) const;
  // Called after each change; returns what to call to hear no more.
  std::function<void()> OnChange(std::function<void()> listener);

 private:
  using Key = std::tuple<const Resource*, std::string, std::string>;
  struct Change {
    uint64_t version;
    Key key;
    ObjectPtr before, after;  // null: was not, is no longer
  };
  struct Page {  // the rest of a list, behind a continue token
    std::vector<ObjectPtr> items;
    uint64_t version;
  };

  template <typename T>
  static const Resource& client_resource() {
    return kubelet::client::ResourceOf<T>();
  }
  ObjectPtr FindObject(const Resource& resource, const std::string& ns,
                       const std::string& name) const;
  std::vector<ObjectPtr> AllObjects(const Resource& resource) const;
  void EraseObject(const Resource& resource, const std::string& ns, const std::string& name);

  absl::Status Get(const ApiRequest& request, Message* answer);
  absl::Status List(const ApiRequest& request, Message* answer);
  absl::Status Create(const ApiRequest& request, Message* answer);
  absl::Status Review(const ApiRequest& request, Message* answer);
  absl::Status Update(const ApiRequest& request, Message* answer);
  absl::Status Patch(const ApiRequest& request, Message* answer);
  absl::Status Delete(const ApiRequest& request, Message* answer);
  // What an update or patch to `wanted` makes of `present`, by sub-resource.
  absl::Status Replace(const ApiRequest& request, const Key& key, const ObjectPtr& present,
                       const Message& wanted, Message* answer);
  ObjectPtr Store(const Key& key, std::shared_ptr<Message> object);
  void Drop(const Key& key);

  base::Clock& clock_;
  base::Nanos skew_{0};
  uint64_t version_ = 1000;
  uint64_t compacted_ = 0;  // history at and before this is gone
  uint64_t next_uid_ = 1;
  std::map<Key, ObjectPtr> objects_;
  std::deque<Change> history_;
  bool frozen_ = false;
  std::map<Key, ObjectPtr> frozen_objects_;
  uint64_t frozen_version_ = 0;
  std::map<std::string, Page> pages_;
  std::map<int, std::function<void()>> listeners_;
  int next_listener_ = 0;
};

// An error as the API server words it.
absl::Status ApiFailure(int code, std::string reason, std::string message);

}  // namespace keelson::apiserver
