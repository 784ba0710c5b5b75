// SPDX-License-Identifier: Apache-2.0
// Events on their way to the API server: events.k8s.io/v1, repeats as a series of one object
// (KEP-383).
//
// Loop only; never waits, but for Run. Events that count as one share an object: it is made at the
// first, its series written at the second, then at most once a minute, and a last time when six
// minutes passed without another; what happens after that is a new object. While the server is away
// everything stays here and counts up, within `capacity`; what does not fit is dropped, the oldest
// first, counted and logged.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "base/loop.h"
#include "base/task.h"
#include "kubelet/client/api_server.h"
#include "kubelet/client/rate_limit.h"
#include "proto/k8s/events.pb.h"
#include "proto/k8s/objects.pb.h"

namespace keelson::kubelet {

struct EventSinkOptions {
  double qps = 50;         // eventRecordQPS; 0: no limit
  int burst = 100;         // eventBurst
  size_t capacity = 1000;  // different events that are remembered, written or not
  uint64_t seed = 0;       // of jitter
};

class EventSink {
 public:
  // Borrows both. `api` needs no limit and no retries of its own.
  EventSink(base::Loop& loop, client::ApiServer& api, EventSinkOptions options);

  // One occurrence. `key` is the same for those that count as one (EventLog::Listener).
  void Record(const k8s::v1::Event& event, const std::string& key);
  // Writes, until cancelled.
  base::Task<void> Run();

  int64_t dropped() const { return dropped_; }
  // Events with something the server does not know yet.
  size_t waiting() const;

 private:
  struct Series {
    k8s::events::v1::Event event;
    int32_t count = 0, written = 0;  // occurrences: all, and those the server knows of
    bool exists = false;             // at the server
    int tries = 0;                   // answers that were failures of the server
    uint64_t id = 0;                 // a later series of the same key is another
    base::MonoTime seen, wrote;      // last occurrence, last write
    base::MonoTime due;              // its place in due_
  };
  using Known = std::map<std::string, Series>;

  void Add(const k8s::v1::Event& event, const std::string& key);
  void Schedule(Known::iterator series, base::MonoTime when);
  void Forget(Known::iterator series);
  void MakeRoom();
  void Drop(Known::iterator series, std::string_view why);
  // Whether the first of due_ has something to write; forgets what is over.
  bool WorkIsDue();
  base::Task<void> WaitForWork();
  // REQUIRES: WorkIsDue.
  base::Task<void> WriteFirst();
  base::Task<absl::Status> Write(k8s::events::v1::Event event, bool exists);
  // What to wait before the next write.
  base::Nanos Settle(const std::string& key, uint64_t id, int32_t count,
                     const absl::Status& status);
  base::Nanos BackOff(const absl::Status& status);

  base::Loop& loop_;
  client::ApiServer& api_;
  const EventSinkOptions o_;
  client::TokenBucket limit_;
  Known known_;
  std::multimap<base::MonoTime, std::string> due_;  // each of known_, once
  base::Wakeup changed_;
  base::Nanos pause_{0};  // the last one of this outage
  uint64_t next_id_ = 1;
  int64_t dropped_ = 0;
  std::optional<base::MonoTime> told_of_drops_;
  std::mt19937_64 random_;
};

}  // namespace keelson::kubelet
