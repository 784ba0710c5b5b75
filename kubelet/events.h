// SPDX-License-Identifier: Apache-2.0
// The node's recent events, kept in memory for people: a bounded list that counts repeats the way
// upstream's event correlator does (client-go tools/record). Loop only; never waits.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "kubelet/event_recorder.h"
#include "proto/k8s/objects.pb.h"

namespace keelson::kubelet {

struct EventLogOptions {
  size_t capacity = 1000;  // beyond: the longest unseen is forgotten
  // From this many different messages of one kind within the interval, they count as one event.
  size_t similar_limit = 10;
  base::Nanos similar_interval = std::chrono::minutes(10);
  // Events about one object beyond the burst are only logged; one more is allowed per refill.
  int burst = 25;
  base::Nanos refill = std::chrono::minutes(5);
};

class EventLog : public EventRecorder {
 public:
  EventLog(base::Clock& clock, std::string node_name, EventLogOptions options = {})
      : clock_(clock), node_name_(std::move(node_name)), options_(options) {}

  void PodEvent(const v1::Pod& pod, EventType type, std::string_view reason, std::string message,
                std::string field_path = {}) override;
  void NodeEvent(EventType type, std::string_view reason, std::string message) override;

  // By time of last occurrence, oldest first.
  std::vector<v1::Event> List() const;

  // Hears of each occurrence that is kept, at once, as an event of its own; `key` is the same for
  // those that count as one.
  using Listener = std::function<void(const v1::Event& event, const std::string& key)>;
  void SetListener(Listener listener) { listener_ = std::move(listener); }

 private:
  struct Stored {
    std::string key;
    v1::Event event;
  };
  struct Similar {
    std::set<std::string> messages;
    base::MonoTime last;
  };
  struct Bucket {
    double tokens = 0;
    base::MonoTime last;
  };
  void Record(v1::ObjectReference object, EventType type, std::string_view reason,
              std::string message);
  v1::Event Make(v1::ObjectReference object, EventType type, std::string_view reason,
                 std::string message);
  // The key repeats are counted under; may replace the message of many similar events.
  std::string Correlate(v1::Event& event);
  bool Spam(const v1::Event& event);
  void Store(std::string key, v1::Event event);

  base::Clock& clock_;
  const std::string node_name_;
  const EventLogOptions options_;
  Listener listener_;
  int64_t last_name_ = 0;     // the number in the last event's name
  std::list<Stored> events_;  // by last occurrence, oldest first
  std::map<std::string, std::list<Stored>::iterator> by_key_;
  std::map<std::string, Similar> similar_;
  std::map<std::string, Bucket> buckets_;
};

}  // namespace keelson::kubelet
