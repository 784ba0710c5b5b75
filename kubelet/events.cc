// SPDX-License-Identifier: Apache-2.0
#include "kubelet/events.h"

#include <algorithm>

#include "base/log.h"

namespace keelson::kubelet {
namespace {

constexpr size_t kMaxTracked = 4096;  // objects and kinds of event, as upstream's caches
constexpr size_t kMaxMessage = 4096;  // bytes
constexpr std::string_view kCombined = "(combined from similar events): ";

// Parts cannot run into each other: none of them holds a NUL.
template <typename... Parts>
std::string Key(const Parts&... parts) {
  std::string key;
  (key.append(parts).push_back('\0'), ...);
  return key;
}

std::string ObjectKey(const v1::Event& event) {
  const v1::ObjectReference& object = event.involvedobject();
  return Key(object.kind(), object.namespace_(), object.name(), object.uid(), event.type());
}

void SetTime(base::WallTime time, k8s::meta::v1::Time* out) {
  out->set_seconds(std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count());
  out->set_nanos(0);  // metav1.Time has whole seconds
}

// Bytes of a UTF-8 text, cut between characters.
void Shorten(std::string* text) {
  if (text->size() <= kMaxMessage) return;
  size_t end = kMaxMessage;
  while (end > 0 && (static_cast<unsigned char>((*text)[end]) & 0xC0) == 0x80) --end;
  text->resize(end);
}

// Forgets what was quiet for `interval`, and everything when that does not help.
template <typename Map>
void Bound(Map& map, base::MonoTime now, base::Nanos interval) {
  if (map.size() < kMaxTracked) return;
  std::erase_if(map, [&](const auto& entry) { return now - entry.second.last > interval; });
  if (map.size() >= kMaxTracked) map.clear();
}

}  // namespace

void EventLog::PodEvent(const v1::Pod& pod, EventType type, std::string_view reason,
                        std::string message, std::string field_path) {
  v1::ObjectReference object;
  object.set_kind("Pod");
  object.set_apiversion("v1");
  object.set_namespace_(pod.metadata().namespace_());
  object.set_name(pod.metadata().name());
  object.set_uid(pod.metadata().uid());
  if (pod.metadata().has_resourceversion())
    object.set_resourceversion(pod.metadata().resourceversion());
  if (!field_path.empty()) object.set_fieldpath(std::move(field_path));
  Record(std::move(object), type, reason, std::move(message));
}

void EventLog::NodeEvent(EventType type, std::string_view reason, std::string message) {
  v1::ObjectReference object;
  object.set_kind("Node");
  object.set_name(node_name_);
  object.set_uid(node_name_);  // upstream's convention: the kubelet does not know the object's uid
  Record(std::move(object), type, reason, std::move(message));
}

void EventLog::Record(v1::ObjectReference object, EventType type, std::string_view reason,
                      std::string message) {
  Shorten(&message);
  v1::Event event = Make(std::move(object), type, reason, std::move(message));
  const v1::ObjectReference& about = event.involvedobject();
  KLOG_INFO("Event occurred",
            {"object",
             about.namespace_().empty() ? about.name() : about.namespace_() + "/" + about.name()},
            {"fieldPath", about.fieldpath()}, {"kind", about.kind()}, {"type", event.type()},
            {"reason", event.reason()}, {"message", event.message()});
  std::string key = Correlate(event);
  if (Spam(event)) return;
  if (listener_) listener_(event, key);
  Store(std::move(key), std::move(event));
}

v1::Event EventLog::Make(v1::ObjectReference object, EventType type, std::string_view reason,
                         std::string message) {
  const base::WallTime now = clock_.Now();
  last_name_ = std::max(last_name_ + 1, base::ToUnixNanos(now));  // no name twice
  v1::Event event;
  event.mutable_metadata()->set_name(
      base::StrCat(object.name(), ".", absl::Hex(static_cast<uint64_t>(last_name_))));
  event.mutable_metadata()->set_namespace_(object.namespace_().empty() ? "default"
                                                                       : object.namespace_());
  SetTime(now, event.mutable_metadata()->mutable_creationtimestamp());
  *event.mutable_involvedobject() = std::move(object);
  event.set_reason(std::string(reason));
  event.set_message(std::move(message));
  event.set_type(type == EventType::kNormal ? "Normal" : "Warning");
  event.set_count(1);
  SetTime(now, event.mutable_firsttimestamp());
  SetTime(now, event.mutable_lasttimestamp());
  event.mutable_source()->set_component("kubelet");
  event.mutable_source()->set_host(node_name_);
  event.set_reportingcomponent("kubelet");
  event.set_reportinginstance(node_name_);
  return event;
}

std::string EventLog::Correlate(v1::Event& event) {
  const base::MonoTime now = clock_.Monotonic();
  const std::string kind = Key(ObjectKey(event), event.reason());
  Bound(similar_, now, options_.similar_interval);
  Similar& similar = similar_[kind];
  if (now - similar.last > options_.similar_interval) similar.messages.clear();
  similar.last = now;
  similar.messages.insert(event.message());
  if (similar.messages.size() < options_.similar_limit)
    return Key(kind, event.involvedobject().fieldpath(), event.message());
  similar.messages.erase(event.message());
  event.set_message(base::StrCat(kCombined, event.message()));
  return kind;
}

bool EventLog::Spam(const v1::Event& event) {
  const base::MonoTime now = clock_.Monotonic();
  Bound(buckets_, now, options_.burst * options_.refill);
  auto [it, fresh] = buckets_.try_emplace(ObjectKey(event));
  Bucket& bucket = it->second;
  const double most = options_.burst;
  const double gained = static_cast<double>((now - bucket.last).count()) /
                        static_cast<double>(options_.refill.count());
  bucket.tokens = fresh ? most : std::min(most, bucket.tokens + gained);
  bucket.last = now;
  if (bucket.tokens < 1) return true;
  bucket.tokens -= 1;
  return false;
}

void EventLog::Store(std::string key, v1::Event event) {
  if (auto known = by_key_.find(key); known != by_key_.end()) {
    v1::Event& old = known->second->event;
    old.set_count(old.count() + 1);
    old.set_message(event.message());
    *old.mutable_lasttimestamp() = event.lasttimestamp();
    events_.splice(events_.end(), events_, known->second);
    return;
  }
  events_.push_back({key, std::move(event)});
  by_key_.emplace(std::move(key), std::prev(events_.end()));
  if (events_.size() <= options_.capacity) return;
  by_key_.erase(events_.front().key);
  events_.pop_front();
}

std::vector<v1::Event> EventLog::List() const {
  std::vector<v1::Event> list;
  for (const Stored& stored : events_) list.push_back(stored.event);
  return list;
}

}  // namespace keelson::kubelet
