// SPDX-License-Identifier: Apache-2.0
#include "kubelet/node/runtime_state.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "base/log.h"
#include "base/strings.h"
#include "kubelet/node/node_conditions.h"

namespace keelson::kubelet {

using base::StrCat;
using base::Task;
using google::protobuf::util::MessageDifferencer;

namespace {

constexpr base::Nanos kFirstRetry = std::chrono::seconds(1);
constexpr base::Nanos kLongestRetry = std::chrono::seconds(30);

template <typename T>
bool Same(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const T& x, const T& y) {
    return MessageDifferencer::Equals(x, y);
  });
}

std::vector<k8s::v1::NodeRuntimeHandler> HandlersOf(const cri::rt::StatusResponse& answer) {
  std::vector<k8s::v1::NodeRuntimeHandler> handlers;
  for (const auto& handler : answer.runtime_handlers()) {
    k8s::v1::NodeRuntimeHandler out;
    out.set_name(handler.name());
    const auto& has = handler.features();
    out.mutable_features()->set_recursivereadonlymounts(has.recursive_read_only_mounts());
    out.mutable_features()->set_usernamespaces(has.user_namespaces());
    handlers.push_back(std::move(out));
  }
  std::sort(handlers.begin(), handlers.end(),
            [](const auto& a, const auto& b) { return a.name() < b.name(); });
  return handlers;
}

std::vector<k8s::v1::ContainerImage> ImagesOf(const cri::rt::ListImagesResponse& answer) {
  std::vector<k8s::v1::ContainerImage> images;
  for (const auto& image : answer.images()) {
    k8s::v1::ContainerImage out;
    for (const auto& digest : image.repo_digests()) out.add_names(digest);
    for (const auto& tag : image.repo_tags()) out.add_names(tag);
    out.set_sizebytes(static_cast<int64_t>(image.size()));
    images.push_back(std::move(out));
  }
  // Runtimes list them in any order; ours tells changes from shuffles.
  std::sort(images.begin(), images.end(), [](const auto& a, const auto& b) {
    if (a.sizebytes() != b.sizebytes()) return a.sizebytes() > b.sizebytes();
    return std::lexicographical_compare(a.names().begin(), a.names().end(), b.names().begin(),
                                        b.names().end());
  });
  return images;
}

const cri::rt::RuntimeCondition& Find(const cri::rt::StatusResponse& answer, const char* type) {
  for (const auto& condition : answer.status().conditions())
    if (condition.type() == type) return condition;
  return cri::rt::RuntimeCondition::default_instance();  // not said is not ready
}

}  // namespace

std::vector<std::string> ProblemsOf(const RuntimeObservation& seen, base::MonoTime now,
                                    const RuntimeStateOptions& options) {
  std::vector<std::string> problems;
  if (!seen.good)
    problems.push_back("container runtime status check may not have completed yet");
  else if (now - *seen.good >= options.down_after)
    problems.push_back("container runtime is down");
  if (!seen.relist) {
    problems.push_back("PLEG is not healthy: pleg has yet to be successful");
  } else if (now - *seen.relist > options.relist_threshold) {
    // In whole minutes, that the node object does not change with every look.
    const auto ago = std::chrono::floor<std::chrono::minutes>(now - *seen.relist);
    problems.push_back(StrCat("PLEG is not healthy: pleg was last seen active ",
                              base::GoDuration(ago), " ago; threshold is ",
                              base::GoDuration(options.relist_threshold)));
  }
  for (const std::string* problem : {&seen.runtime_problem, &seen.network_problem})
    if (!problem->empty()) problems.push_back(*problem);
  return problems;
}

RuntimeState::RuntimeState(base::Loop& loop, cri::Runtime& runtime, RuntimeStateOptions options,
                           std::function<std::optional<base::MonoTime>()> last_relist,
                           std::function<void()> changed)
    : loop_(loop),
      runtime_(runtime),
      o_(std::move(options)),
      last_relist_(std::move(last_relist)),
      changed_(std::move(changed)) {
  if (!o_.pod_cidr.empty()) SetPodCidr(o_.pod_cidr);
}

void RuntimeState::SetPodCidr(std::string pod_cidr) {
  if (pod_cidr == pod_cidr_) return;
  pod_cidr_ = std::move(pod_cidr);
  cidr_changed_.Set();
}

std::vector<std::string> RuntimeState::Problems() const {
  RuntimeObservation seen = seen_;
  seen.relist = last_relist_();
  return ProblemsOf(seen, loop_.clock().Monotonic(), o_);
}

void RuntimeState::Fill(NodeState* state) const {
  for (std::string& problem : Problems()) state->problems.push_back(std::move(problem));
  state->runtime_handlers = known_.runtime_handlers;
  state->has_features = known_.has_features;
  state->supplemental_groups_policy = known_.supplemental_groups_policy;
  state->images = known_.images;
}

Task<void> RuntimeState::Run() {
  base::TaskGroup group(loop_);
  group.Spawn("runtime status", StatusLoop());
  group.Spawn("node images", ImagesLoop());
  group.Spawn("pod CIDR", CidrLoop());
  co_await base::internal::JoinOrCancel(group);
}

Task<void> RuntimeState::StatusLoop() {
  bool failed = false;
  std::vector<std::string> told = Problems();
  while (true) {
    const absl::Status status = co_await Ask();
    if (!status.ok() && !failed)
      KLOG_WARNING("Cannot ask the container runtime how it is", {"err", status});
    failed = !status.ok();
    std::vector<std::string> problems = Problems();
    const bool well = !failed && problems.empty();
    if (problems != told) {
      told = std::move(problems);
      changed_();
    }
    const base::Nanos pause = well ? o_.period : o_.hurry;
    const base::MonoTime due = loop_.clock().Monotonic() + pause;
    co_await look_.WaitUntil(loop_.clock(), due);
  }
}

Task<absl::Status> RuntimeState::Ask() {
  auto answer = co_await runtime_.Status();
  if (!answer.ok()) co_return answer.status();
  Learn(*answer);
  co_return absl::OkStatus();
}

void RuntimeState::Learn(const cri::rt::StatusResponse& answer) {
  const auto& network = Find(answer, "NetworkReady");
  const auto& ready = Find(answer, "RuntimeReady");
  const auto first = [](std::vector<std::string> problems) {
    return problems.empty() ? std::string() : std::move(problems[0]);
  };
  seen_.network_problem =
      first(RuntimeProblems(true, "", "", network.status(), network.reason(), network.message()));
  const std::string problem =
      first(RuntimeProblems(ready.status(), ready.reason(), ready.message(), true, "", ""));
  if (problem != seen_.runtime_problem && !problem.empty())
    KLOG_WARNING("The container runtime is not ready", {"problem", problem});
  seen_.runtime_problem = problem;
  if (!ready.status()) return;
  seen_.good = loop_.clock().Monotonic();
  auto handlers = HandlersOf(answer);
  const bool groups = answer.features().supplemental_groups_policy();
  const bool differs = !Same(handlers, known_.runtime_handlers) ||
                       answer.has_features() != known_.has_features ||
                       groups != known_.supplemental_groups_policy;
  known_.runtime_handlers = std::move(handlers);
  known_.has_features = answer.has_features();
  known_.supplemental_groups_policy = groups;
  if (differs) changed_();
}

Task<void> RuntimeState::ImagesLoop() {
  while (true) {
    const base::MonoTime started = loop_.clock().Monotonic();
    auto answer = co_await runtime_.ListImages();
    if (answer.ok()) {
      auto images = ImagesOf(*answer);
      const bool differs = !Same(images, known_.images);
      known_.images = std::move(images);
      if (differs) changed_();
    } else {
      KLOG_WARNING("Cannot list the node's images", {"err", answer.status()});
      images_changed_.Set();  // soon again
    }
    co_await base::SleepUntil(loop_.clock(), started + o_.images_spacing);
    co_await images_changed_.WaitUntil(loop_.clock(), started + o_.images_period);
  }
}

Task<void> RuntimeState::CidrLoop() {
  std::string told;
  base::Nanos pause = kFirstRetry;
  while (true) {
    if (pod_cidr_ == told) {
      co_await cidr_changed_.Wait();
      continue;
    }
    const std::string wanted = pod_cidr_;
    const absl::Status status = co_await runtime_.UpdatePodCidr(wanted);
    if (status.ok() || absl::IsUnimplemented(status)) {
      told = wanted;
      pause = kFirstRetry;
      KLOG_INFO("The runtime knows the node's pod CIDR", {"podCIDR", wanted});
      continue;
    }
    KLOG_WARNING("Cannot tell the runtime the node's pod CIDR", {"podCIDR", wanted},
                 {"err", status});
    const base::MonoTime due = loop_.clock().Monotonic() + pause;
    co_await cidr_changed_.WaitUntil(loop_.clock(), due);
    pause = std::min(pause * 2, kLongestRetry);
  }
}

}  // namespace keelson::kubelet
