// SPDX-License-Identifier: Apache-2.0
// Writes pod statuses to the API server, and deletes pods of which nothing is left.
//
// Loop only; borrows everything it is given. Each pod has one newest status with a version: only
// that is ever sent, so nothing is lost and nothing piles up while the server is away. What is sent
// is the difference to what the server last showed of the object, through the watch or in an answer,
// and to what a write whose answer was lost may have made of it. A status that somebody else
// overwrote is written again, at most every `repair`. At rest nothing is asked of the server.
//
// The rules of what may follow what are status_merge.h's. A static pod's status goes to its mirror.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/cluster/api_pods.h"
#include "kubelet/pod_report.h"

namespace keelson::kubelet {

struct StatusManagerOptions {
  int parallel = 8;  // requests at a time
  base::Nanos repair = std::chrono::seconds(10);
  base::Nanos retry_first = std::chrono::milliseconds(500);
  base::Nanos retry_max = std::chrono::seconds(15);
  uint64_t seed = 0;  // of jitter; 0: random
};

class StatusManager {
 public:
  StatusManager(base::Loop& loop, client::ApiServer& api, ApiPods& pods,
                StatusManagerOptions options = {});
  ~StatusManager();

  // The newest word on a pod, as PodManager tells it.
  void Set(const PodReport& report);
  // Until cancelled. REQUIRES: called once.
  base::Task<void> Run();

  // Statuses that the server may not have yet.
  size_t unsent() const;

 private:
  struct Entry;
  using EntryPtr = std::shared_ptr<Entry>;

  void OnObject(const PodPtr& before, const PodPtr& after);
  void OnListed();
  EntryPtr EntryFor(const v1::Pod& object) const;
  // The newest we know of the object that carries the pod's status; null when there is none.
  PodPtr Object(const Entry& entry) const;
  void Check(Entry& entry);
  void Recheck(Entry& entry, const v1::Pod& object);
  void Tried(Entry& entry, v1::PodStatus status);
  void Need(Entry& entry, base::MonoTime when);

  base::Task<bool> Work();
  EntryPtr Next(base::MonoTime now, std::optional<base::MonoTime>* wait);
  base::Task<absl::Status> Send(EntryPtr entry);
  base::Task<absl::Status> Read(EntryPtr entry);
  base::Task<absl::Status> Write(EntryPtr entry);
  base::Task<absl::Status> Delete(EntryPtr entry);
  void Settle(const EntryPtr& entry, const absl::Status& status);
  void Failed(Entry& entry, const absl::Status& status);
  void Answered(Entry& entry, PodPtr object);
  base::Nanos Jittered(base::Nanos delay);

  base::Loop& loop_;
  client::ApiServer& api_;
  ApiPods& pods_;
  const StatusManagerOptions o_;
  std::map<PodUid, EntryPtr> entries_;
  std::map<std::string, PodUid> static_;  // full name -> uid
  base::Wakeup work_;
  // While the server answers nobody, one request at a time finds out when it does.
  base::Nanos away_delay_{0};
  base::MonoTime away_until_;
  bool told_to_wait_ = false;  // by the server, that long
  bool asking_ = false;
  std::mt19937_64 random_;
};

}  // namespace keelson::kubelet
