// SPDX-License-Identifier: Apache-2.0
// The API server in this process, on any clock, with faults on demand. Loop only.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/loop.h"
#include "kubelet/client/api_server.h"
#include "test/apiserver/object_store.h"

namespace keelson::apiserver {

// What befalls one request. The first that applies: it waits, then is refused, or is carried out.
struct Fault {
  base::Nanos delay{0};
  int error = 0;  // the answer's HTTP code, instead of doing it
  base::Nanos retry_after{0};
  bool refuse = false;  // the connection breaks before anything is done
  bool lose = false;    // it is done, and the connection breaks before the answer
  bool hang = false;    // never answered
};

class FakeApiServer : public kubelet::client::ApiServer {
 public:
  // Both outlive it.
  FakeApiServer(base::Loop& loop, ObjectStore& store) : loop_(loop), store_(store) {}
  ~FakeApiServer() override;  // REQUIRES: no watch and no call left

  base::Task<absl::Status> Do(ApiRequest request, Message* answer) override;
  base::Task<absl::StatusOr<std::unique_ptr<kubelet::client::WatchStream>>> Watch(
      const Resource& resource, std::string ns, WatchOptions options) override;
  base::Task<absl::StatusOr<std::string>> GetRaw(std::string path) override;

  ObjectStore& store() { return store_; }

  // Asked at each request; `what` as ApiRequest::Describe, "WATCH /api/v1/pods (selector)" or "GET
  // /path".
  std::function<Fault(const std::string& what)> fault;
  // While false nothing answers, and going away breaks every watch.
  void SetReachable(bool reachable);
  // Every watch ends: in good order, or with its connection.
  void EndWatches(bool broken);
  // The client's process died: nothing of the store reaches its watches any more.
  void Abandon();
  // An ERROR event on every watch.
  void FailWatches(absl::Status error);
  // What each event waits before it is sent.
  base::Nanos watch_delay{0};
  base::Nanos bookmark_period = std::chrono::minutes(1);
  // Everything asked for so far, in order; clear it at will.
  std::vector<std::string> requests;
  // How many start with `prefix`.
  int CountRequests(std::string_view prefix) const;
  size_t watches() const { return watches_.size(); }

 private:
  friend class FakeWatch;
  // Delay and faults of one request; OK: go on.
  base::Task<absl::Status> Suffer(std::string what, Fault* fault);

  base::Loop& loop_;
  ObjectStore& store_;
  bool reachable_ = true;
  std::set<class FakeWatch*> watches_;
};

// One watch on the store.
class FakeWatch : public kubelet::client::WatchStream {
 public:
  FakeWatch(FakeApiServer& server, const Resource& resource, std::string ns, WatchOptions options);
  ~FakeWatch() override;
  base::Task<absl::StatusOr<std::optional<WatchEvent>>> Next() override;
  void StopListening();
  // Next returns this once it has nothing more to tell; nullopt inside OK ends in good order.
  void End(absl::Status status);

 private:
  FakeApiServer& server_;
  const Resource& resource_;
  const std::string ns_;
  const Selector selector_;
  const bool bookmarks_;
  uint64_t position_;
  base::MonoTime ends_, next_bookmark_;
  std::optional<absl::Status> ended_;
  base::Wakeup changed_;
  std::function<void()> stop_listening_;
};

}  // namespace keelson::apiserver
