// SPDX-License-Identifier: Apache-2.0
#include "kubelet/cluster/event_sink.h"

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/client/api_error.h"
#include "proto/codec/strategic_patch.h"

namespace keelson::kubelet {

using base::Task;
using k8s::events::v1::Event;

namespace {

using namespace std::chrono_literals;

// What validation of events.k8s.io/v1 lets through, in bytes.
constexpr size_t kMaxNote = 1024;
constexpr size_t kMaxInstance = 128;
constexpr size_t kMaxName = 253;
constexpr size_t kMaxSuffix = 17;  // a dot and 16 digits

constexpr base::Nanos kQuiet = 6min;    // then a series is over
constexpr base::Nanos kRefresh = 1min;  // between writes of one series
constexpr int kMaxTries = 12;           // upstream's, for a server that answers with failures
constexpr base::Nanos kFirstPause = 1s, kLongestPause = 30s;
constexpr base::Nanos kTellOfDrops = 1min;

// Cut between characters of UTF-8.
std::string Shortened(const std::string& text, size_t most) {
  if (text.size() <= most) return text;
  size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

// The name is the object's, a dot and a number; only the object's part may be cut.
std::string ShortName(const std::string& name) {
  if (name.size() <= kMaxName) return name;
  const size_t dot = name.rfind('.');
  std::string start = name.substr(0, std::min(dot, kMaxName - kMaxSuffix));
  while (!start.empty() && (start.back() == '.' || start.back() == '-')) start.pop_back();
  return start + name.substr(dot);
}

void SetTime(base::WallTime time, k8s::meta::v1::MicroTime* out) {
  const int64_t nanos = base::ToUnixNanos(time);
  out->set_seconds(nanos / 1'000'000'000);
  out->set_nanos(static_cast<int32_t>(nanos % 1'000'000'000 / 1000 * 1000));
}

// The deprecated fields stay unset: the server refuses them, and fills in what kubectl shows from
// reportingController, eventTime and series.
Event ToEventsApi(const k8s::v1::Event& event, base::WallTime now) {
  Event out;
  out.mutable_metadata()->set_name(ShortName(event.metadata().name()));
  out.mutable_metadata()->set_namespace_(event.metadata().namespace_());
  SetTime(now, out.mutable_eventtime());
  out.set_reportingcontroller(event.reportingcomponent());
  out.set_reportinginstance(Shortened(event.reportinginstance(), kMaxInstance));
  out.set_action(event.reason());  // required; our reasons name what was done
  out.set_reason(event.reason());
  *out.mutable_regarding() = event.involvedobject();
  out.set_note(Shortened(event.message(), kMaxNote));
  out.set_type(event.type());
  return out;
}

// Somebody answered, and that this one will never be taken.
bool Refused(const absl::Status& status) {
  const auto error = client::ApiErrorOf(status);
  if (!error) return absl::IsInvalidArgument(status);  // could not even be asked
  return error->code >= 400 && error->code < 500 && error->code != 401 && error->code != 408 &&
         error->code != 429;
}

// A namespace that is being deleted takes nothing new: nothing is wrong, and nobody would look.
bool NamespaceEnds(const absl::Status& status) {
  const auto error = client::ApiErrorOf(status);
  return error && error->code == 403 &&
         (error->HasCause("NamespaceTerminating") ||
          error->message.find("because it is being terminated") != std::string::npos);
}

}  // namespace

EventSink::EventSink(base::Loop& loop, client::ApiServer& api, EventSinkOptions options)
    : loop_(loop),
      api_(api),
      o_(options),
      limit_(options.qps, options.burst),
      random_(options.seed != 0 ? options.seed : std::random_device()()) {}

void EventSink::Record(const k8s::v1::Event& event, const std::string& key) {
  const base::MonoTime now = loop_.clock().Monotonic();
  auto known = known_.find(key);
  if (known != known_.end() && now - known->second.seen >= kQuiet &&
      known->second.written == known->second.count) {
    Forget(known);  // that series is over, its end was not noticed yet
    known = known_.end();
  }
  if (known == known_.end()) {
    Add(event, key);
    return;
  }
  Series& series = known->second;
  series.seen = now;
  if (series.count < INT32_MAX) ++series.count;
  series.event.mutable_series()->set_count(series.count);
  SetTime(loop_.clock().Now(), series.event.mutable_series()->mutable_lastobservedtime());
  if (!series.exists) return;  // its creation tells
  Schedule(known, series.written == 1 ? now : std::max(now, series.wrote + kRefresh));
}

void EventSink::Add(const k8s::v1::Event& event, const std::string& key) {
  MakeRoom();
  const base::MonoTime now = loop_.clock().Monotonic();
  Series series;
  series.event = ToEventsApi(event, loop_.clock().Now());
  series.count = 1;
  series.id = next_id_++;
  series.seen = series.due = now;
  const auto added = known_.emplace(key, std::move(series)).first;
  due_.emplace(now, key);
  Schedule(added, now);
}

void EventSink::Schedule(Known::iterator series, base::MonoTime when) {
  const auto [begin, end] = due_.equal_range(series->second.due);
  for (auto it = begin; it != end; ++it) {
    if (it->second != series->first) continue;
    due_.erase(it);
    break;
  }
  series->second.due = when;
  due_.emplace(when, series->first);
  changed_.Set();
}

void EventSink::Forget(Known::iterator series) {
  const auto [begin, end] = due_.equal_range(series->second.due);
  for (auto it = begin; it != end; ++it) {
    if (it->second != series->first) continue;
    due_.erase(it);
    break;
  }
  known_.erase(series);
}

// What the server knows all of goes first: only the counting of its repeats ends.
void EventSink::MakeRoom() {
  if (known_.size() < o_.capacity) return;
  auto victim = known_.begin();
  const auto rank = [](const Series& s) {
    return std::make_pair(s.written != s.count, s.event.eventtime().seconds());
  };
  for (auto it = known_.begin(); it != known_.end(); ++it) {
    const auto mine = rank(it->second), least = rank(victim->second);
    if (mine < least || (mine == least && it->second.id < victim->second.id)) victim = it;
  }
  if (victim->second.written != victim->second.count)
    Drop(victim, "too many wait for the API server");
  else
    Forget(victim);
}

void EventSink::Drop(Known::iterator series, std::string_view why) {
  ++dropped_;
  const base::MonoTime now = loop_.clock().Monotonic();
  if (!told_of_drops_ || now - *told_of_drops_ >= kTellOfDrops) {
    told_of_drops_ = now;
    const auto& event = series->second.event;
    KLOG_WARNING("Event will not reach the API server", {"event", event.metadata().name()},
                 {"namespace", event.metadata().namespace_()}, {"reason", event.reason()},
                 {"why", why}, {"droppedSoFar", dropped_});
  }
  Forget(series);
}

size_t EventSink::waiting() const {
  return static_cast<size_t>(std::count_if(known_.begin(), known_.end(), [](const auto& known) {
    return known.second.written != known.second.count;
  }));
}

Task<void> EventSink::Run() {
  while (true) {
    co_await WaitForWork();
    const base::Nanos turn = limit_.Reserve(loop_.clock().Monotonic());
    if (turn > 0ns) co_await base::Sleep(loop_.clock(), turn);
    if (WorkIsDue())
      co_await WriteFirst();
    else
      limit_.Return();
  }
}

bool EventSink::WorkIsDue() {
  const base::MonoTime now = loop_.clock().Monotonic();
  while (!due_.empty() && due_.begin()->first <= now) {
    const auto series = known_.find(due_.begin()->second);
    if (series->second.written != series->second.count) return true;
    const base::MonoTime ends = series->second.seen + kQuiet;
    if (ends <= now)
      Forget(series);
    else
      Schedule(series, ends);
  }
  return false;
}

Task<void> EventSink::WaitForWork() {
  while (!WorkIsDue()) {
    if (due_.empty()) {
      co_await changed_.Wait();
      continue;
    }
    const base::MonoTime next = due_.begin()->first;
    co_await changed_.WaitUntil(loop_.clock(), next);
  }
}

Task<void> EventSink::WriteFirst() {
  const std::string key = due_.begin()->second;
  const Series& series = known_.find(key)->second;
  const uint64_t id = series.id;
  const int32_t count = series.count;
  const bool exists = series.exists;
  Event event = series.event;
  const absl::Status status = co_await Write(std::move(event), exists);
  const base::Nanos pause = Settle(key, id, count, status);
  if (pause > 0ns) co_await base::Sleep(loop_.clock(), pause);
}

Task<absl::Status> EventSink::Write(Event event, bool exists) {
  if (exists) {
    Event before = event;
    before.clear_series();
    auto patch = proto::StrategicPatch(before, event);
    if (!patch.ok()) co_return patch.status();
    const std::string ns = event.metadata().namespace_(), name = event.metadata().name();
    auto patched = co_await api_.Patch<Event>(ns, name, client::PatchType::kStrategicMerge,
                                              *std::move(patch));
    // Its time to live at the server is over.
    if (!client::IsNotFound(patched.status())) co_return patched.status();
  }
  auto created = co_await api_.Create<Event>(std::move(event));
  // The number in its name is ours alone: an answer got lost, and this is what it said.
  if (client::IsAlreadyExists(created.status())) co_return absl::OkStatus();
  co_return created.status();
}

base::Nanos EventSink::Settle(const std::string& key, uint64_t id, int32_t count,
                              const absl::Status& status) {
  const auto found = known_.find(key);
  const bool gone = found == known_.end() || found->second.id != id;  // dropped meanwhile
  if (status.ok()) {
    pause_ = 0ns;
    if (gone) return 0ns;
    Series& series = found->second;
    const bool first_repeat = series.written <= 1 && count == 1;
    series.exists = true;
    series.written = count;
    series.tries = 0;
    series.wrote = loop_.clock().Monotonic();
    if (series.count == count)
      Schedule(found, series.seen + kQuiet);
    else
      Schedule(found, first_repeat ? series.wrote : series.wrote + kRefresh);
    return 0ns;
  }
  if (Refused(status)) {
    pause_ = 0ns;
    if (gone) return 0ns;
    if (NamespaceEnds(status))
      Forget(found);
    else
      Drop(found, base::Message(status));
    return 0ns;
  }
  const bool answered = client::ApiErrorOf(status) && !client::IsTooManyRequests(status) &&
                        !client::IsUnauthorized(status);
  if (answered && !gone && ++found->second.tries >= kMaxTries) Drop(found, base::Message(status));
  return BackOff(status);
}

base::Nanos EventSink::BackOff(const absl::Status& status) {
  if (pause_ == 0ns)
    KLOG_WARNING("Cannot write events, they wait", {"waiting", waiting()}, {"err", status});
  pause_ = pause_ == 0ns ? kFirstPause : std::min(pause_ * 2, kLongestPause);
  std::uniform_real_distribution<double> spread(1, 1.25);
  const auto jittered =
      base::Nanos(static_cast<int64_t>(static_cast<double>(pause_.count()) * spread(random_)));
  return std::max(jittered, client::RetryAfter(status));
}

}  // namespace keelson::kubelet
