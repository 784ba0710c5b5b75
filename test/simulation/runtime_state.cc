// SPDX-License-Identifier: Apache-2.0
#include "test/simulation/runtime_state.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "base/strings.h"

namespace keelson::simulation {

namespace rt = cri::rt;
using base::StrCat;
using std::chrono::milliseconds;

namespace {

constexpr const char* kUid = "io.kubernetes.pod.uid";
constexpr const char* kName = "io.kubernetes.container.name";

}  // namespace

absl::Status NoSuch(const std::string& id) { return absl::NotFoundError("no such object " + id); }

std::string RuntimeState::UidOf(const Container& c) const {
  auto it = c.config.labels().find(kUid);
  return it == c.config.labels().end() ? "" : it->second;
}

std::string RuntimeState::RunSandbox(rt::PodSandboxConfig config) {
  // Like containerd, one sandbox per name and attempt.
  for (const auto& [id, s] : sandboxes)
    if (s.config.metadata().uid() == config.metadata().uid() &&
        s.config.metadata().attempt() == config.metadata().attempt())
      return id + "!reserved";
  std::string id = StrCat("sandbox-", next_id_++);
  std::string uid = config.metadata().uid();
  sandboxes[id] = {std::move(config), true, NowNanos(), StrCat("10.0.0.", next_id_ % 250 + 1)};
  Emit(id, uid, rt::CONTAINER_CREATED_EVENT);
  Emit(id, uid, rt::CONTAINER_STARTED_EVENT);
  return id;
}

absl::StatusOr<std::string> RuntimeState::Create(const std::string& sandbox,
                                                 rt::ContainerConfig config) {
  auto it = sandboxes.find(sandbox);
  if (it == sandboxes.end()) return NoSuch(sandbox);
  for (const auto& [id, c] : containers)
    if (c.sandbox_id == sandbox && c.config.metadata().name() == config.metadata().name() &&
        c.config.metadata().attempt() == config.metadata().attempt())
      return absl::UnknownError(StrCat("name is reserved for ", id));
  std::string id = StrCat("container-", next_id_++);
  Container& c = containers[id];
  c.sandbox_id = sandbox;
  c.config = std::move(config);
  c.created_at = NowNanos();
  Emit(id, UidOf(c), rt::CONTAINER_CREATED_EVENT);
  return id;
}

absl::Status RuntimeState::Start(const std::string& id) {
  auto it = containers.find(id);
  if (it == containers.end()) return NoSuch(id);
  Container& c = it->second;
  if (c.state != rt::CONTAINER_CREATED)
    return absl::FailedPreconditionError("container is not in created state");
  auto box = sandboxes.find(c.sandbox_id);
  if (box == sandboxes.end() || !box->second.ready)
    return absl::FailedPreconditionError("sandbox is not running");
  for (const auto& [other_id, other] : containers)
    if (other.state == rt::CONTAINER_RUNNING && UidOf(other) == UidOf(c) &&
        other.config.labels().at(kName) == c.config.labels().at(kName))
      violations.push_back(StrCat(id, " starts while ", other_id, " of the same name runs"));
  c.state = rt::CONTAINER_RUNNING;
  c.started_at = NowNanos();
  Emit(id, UidOf(c), rt::CONTAINER_STARTED_EVENT);
  // args: "exit CODE MILLISECONDS" ends by itself; anything else runs on.
  if (c.config.args_size() == 3 && c.config.args(0) == "exit") {
    int code = 0, ms = 0;
    if (absl::SimpleAtoi(c.config.args(1), &code) && absl::SimpleAtoi(c.config.args(2), &ms))
      clock_.Schedule(clock_.Monotonic() + milliseconds(ms), [this, id, code] {
        auto found = containers.find(id);
        if (found != containers.end() && found->second.state == rt::CONTAINER_RUNNING)
          Exit(id, code, code == 0 ? "Completed" : "Error");
      });
  }
  return absl::OkStatus();
}

void RuntimeState::Exit(const std::string& id, int code, std::string reason) {
  Container& c = containers.at(id);
  c.state = rt::CONTAINER_EXITED;
  c.exit_code = code;
  c.reason = std::move(reason);
  c.finished_at = NowNanos();
  Emit(id, UidOf(c), rt::CONTAINER_STOPPED_EVENT);
}

void RuntimeState::Terminate(const std::string& id, base::Nanos grace) {
  Container& c = containers.at(id);
  if (!may_stop(UidOf(c)))
    violations.push_back(StrCat(id, " of a healthy wanted pod was stopped"));
  base::Nanos takes = random_.Chance(0.2) ? grace : std::min<base::Nanos>(grace, milliseconds(50));
  clock_.Schedule(clock_.Monotonic() + takes, [this, id] {
    auto it = containers.find(id);
    if (it != containers.end() && it->second.state == rt::CONTAINER_RUNNING)
      Exit(id, 143, "Error");
  });
}

absl::Status RuntimeState::StopSandbox(const std::string& id) {
  auto it = sandboxes.find(id);
  if (it == sandboxes.end()) return NoSuch(id);
  for (auto& [cid, c] : containers)
    if (c.sandbox_id == id && c.state == rt::CONTAINER_RUNNING) Exit(cid, 137, "Error");
  if (std::exchange(it->second.ready, false))
    Emit(id, it->second.config.metadata().uid(), rt::CONTAINER_STOPPED_EVENT);
  return absl::OkStatus();
}

absl::Status RuntimeState::RemoveContainer(const std::string& id) {
  auto it = containers.find(id);
  if (it == containers.end()) return NoSuch(id);
  std::string uid = UidOf(it->second);
  if (it->second.state == rt::CONTAINER_RUNNING) Exit(id, 137, "Error");
  containers.erase(it);
  Emit(id, uid, rt::CONTAINER_DELETED_EVENT);
  return absl::OkStatus();
}

absl::Status RuntimeState::RemoveSandbox(const std::string& id) {
  auto it = sandboxes.find(id);
  if (it == sandboxes.end()) return NoSuch(id);
  std::string uid = it->second.config.metadata().uid();
  absl::Status stopped = StopSandbox(id);
  if (!stopped.ok()) return stopped;
  std::erase_if(containers, [&](const auto& item) { return item.second.sandbox_id == id; });
  sandboxes.erase(id);
  Emit(id, uid, rt::CONTAINER_DELETED_EVENT);
  return absl::OkStatus();
}

void RuntimeState::Emit(const std::string& id, const std::string& uid,
                        rt::ContainerEventType type) {
  rt::ContainerEventResponse event;
  event.set_container_id(id);
  event.set_container_event_type(type);
  event.mutable_pod_sandbox_status()->mutable_metadata()->set_uid(uid);
  std::erase_if(listeners_, [](const auto& weak) { return weak.expired(); });
  for (const auto& weak : listeners_) {
    if (faults.on && random_.Chance(faults.drop_event)) continue;
    // Delays of their own per event: they overtake each other.
    clock_.Schedule(clock_.Monotonic() + random_.Between(milliseconds(0), milliseconds(30)),
                    [weak, event] {
                      if (auto listener = weak.lock()) (*listener)(event);
                    });
  }
}

}  // namespace keelson::simulation
