// SPDX-License-Identifier: Apache-2.0
// The API server as the agent sees it: typed verbs on protobuf messages. This is the seam: the real
// one is HttpApiServer (http_api_server.h), simulations have their own.
//
// Loop only. A call's task may be cancelled at any time; the request may then have been carried out
// or not. Errors: api_error.h. Nothing here retries what is not safe to repeat.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/task.h"
#include "kubelet/client/api_error.h"
#include "kubelet/client/resource.h"
#include "proto/codec/value.h"

namespace keelson::kubelet::client {

enum class Verb { kGet, kList, kCreate, kUpdate, kPatch, kDelete };

enum class PatchType {
  kStrategicMerge,  // built-in types only; proto/codec/strategic_patch.h makes them
  kMerge,           // RFC 7386
  kJson,            // RFC 6902
};

struct ListOptions {
  std::string field_selector;  // spec.nodeName=a
  std::string label_selector;
  // "": consistent, from etcd. "0": whatever a cache has. Else see match.
  std::string resource_version;
  std::string resource_version_match;  // "", NotOlderThan, Exact
  int64_t limit = 0;                   // 0: all at once
  std::string continue_token;
};

struct WatchOptions {
  std::string field_selector;
  std::string label_selector;
  std::string resource_version;  // events after this one
  bool bookmarks = true;
  base::Nanos timeout{0};  // the server ends the watch then; 0: as it pleases
};

struct DeleteOptions {
  std::optional<int64_t> grace_period_seconds;
  std::string uid;               // precondition, empty: none. A mismatch is a conflict
  std::string resource_version;  // likewise
};

// One request, as the calls below make it.
struct ApiRequest {
  Verb verb = Verb::kGet;
  const Resource* resource = nullptr;
  std::string ns, name, subresource;
  std::shared_ptr<const Message> body;  // create, update, delete
  const Resource* body_type = nullptr;  // null: of `resource`
  PatchType patch_type = PatchType::kStrategicMerge;
  proto::Value patch;
  ListOptions list;

  // "PATCH /api/v1/nodes/a/status", for messages.
  std::string Describe() const;
};

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark };
  Type type = Type::kAdded;
  std::shared_ptr<Message> object;  // a bookmark's has only a resourceVersion
  bool initial_events_end = false;  // bookmark with k8s.io/initial-events-end
};

// Events of one watch. Destroying it ends the watch; REQUIRES: no Next in progress then, other than
// in a cancelled task.
class WatchStream {
 public:
  virtual ~WatchStream() = default;
  // The next event. nullopt: the server ended the watch in good order, watch on from the last
  // resourceVersion. An ERROR event is its ApiError; the stream is over after any error.
  virtual base::Task<absl::StatusOr<std::optional<WatchEvent>>> Next() = 0;
};

class ApiServer {
 public:
  virtual ~ApiServer() = default;

  // The two calls everything is made of. `answer` gets the object the server sent and is of the
  // type that is asked for (kDelete: null, what is sent is dropped); it stays valid until the task
  // ends.
  virtual base::Task<absl::Status> Do(ApiRequest request, Message* answer) = 0;
  // OK once the server accepted. `ns` empty: all.
  virtual base::Task<absl::StatusOr<std::unique_ptr<WatchStream>>> Watch(const Resource& resource,
                                                                         std::string ns,
                                                                         WatchOptions options) = 0;
  // GET of something that is no object, as /healthz; the body, at most 1 MiB.
  virtual base::Task<absl::StatusOr<std::string>> GetRaw(std::string path) = 0;

  // api.Get<k8s::v1::Pod>("default", "web"); `ns` is "" for what has none, here and below.
  template <typename T>
  base::Task<absl::StatusOr<T>> Get(std::string ns, std::string name) {
    ApiRequest request = Request(Verb::kGet, ResourceOf<T>(), std::move(ns), std::move(name));
    return Ask<T>(std::move(request));
  }
  // Of a list message: api.List<k8s::v1::PodList>("", options). One page when there is a limit.
  // Name `options` before the co_await, as everything that is no plain value.
  template <typename L>
  base::Task<absl::StatusOr<L>> List(std::string ns, ListOptions options) {
    ApiRequest request = Request(Verb::kList, ResourceOfList(L::descriptor()), std::move(ns), "");
    request.list = std::move(options);
    return Ask<L>(std::move(request));
  }
  // Namespace and name are the object's own. Returns what the server made of it.
  template <typename T>
  base::Task<absl::StatusOr<T>> Create(T object) {
    ApiRequest request =
        Request(Verb::kCreate, ResourceOf<T>(), object.metadata().namespace_(), "");
    request.body = std::make_shared<T>(std::move(object));
    return Ask<T>(std::move(request));
  }
  // The whole object; Aborted when its resourceVersion is set and not the present one.
  template <typename T>
  base::Task<absl::StatusOr<T>> Update(T object, std::string subresource = {}) {
    ApiRequest request = Request(Verb::kUpdate, ResourceOf<T>(), object.metadata().namespace_(),
                                 object.metadata().name());
    request.subresource = std::move(subresource);
    request.body = std::make_shared<T>(std::move(object));
    return Ask<T>(std::move(request));
  }
  // A patch with metadata.uid is a conflict when the object was replaced by a namesake.
  template <typename T>
  base::Task<absl::StatusOr<T>> Patch(std::string ns, std::string name, PatchType type,
                                      proto::Value patch, std::string subresource = {}) {
    ApiRequest request = Request(Verb::kPatch, ResourceOf<T>(), std::move(ns), std::move(name));
    request.patch_type = type;
    request.patch = std::move(patch);
    request.subresource = std::move(subresource);
    return Ask<T>(std::move(request));
  }
  // OK when accepted: a pod with grace, or an object with finalizers, is still there then.
  template <typename T>
  base::Task<absl::Status> Delete(std::string ns, std::string name, DeleteOptions options = {}) {
    return Do(DeleteRequest(ResourceOf<T>(), std::move(ns), std::move(name), options), nullptr);
  }
  // POST below an object: api.CreateSubresource<ServiceAccount>(ns, name, "token", token_request).
  template <typename Parent, typename T>
  base::Task<absl::StatusOr<T>> CreateSubresource(std::string ns, std::string name,
                                                  std::string subresource, T object) {
    ApiRequest request =
        Request(Verb::kCreate, ResourceOf<Parent>(), std::move(ns), std::move(name));
    request.subresource = std::move(subresource);
    request.body_type = &ResourceOf<T>();
    request.body = std::make_shared<T>(std::move(object));
    return Ask<T>(std::move(request));
  }

 private:
  static ApiRequest Request(Verb verb, const Resource& resource, std::string ns, std::string name);
  static ApiRequest DeleteRequest(const Resource& resource, std::string ns, std::string name,
                                  const DeleteOptions& options);
  template <typename T>
  base::Task<absl::StatusOr<T>> Ask(ApiRequest request) {
    T answer;
    absl::Status status = co_await Do(std::move(request), &answer);
    if (!status.ok()) co_return status;
    co_return std::move(answer);
  }
};

}  // namespace keelson::kubelet::client
