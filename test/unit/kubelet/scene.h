// SPDX-License-Identifier: Apache-2.0
// A pod and what the runtime shows of it, in a line of text each, for tables of decisions.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/strings.h"
#include "kubelet/plan.h"
#include "proto/codec/codec.h"

namespace keelson::kubelet {

inline v1::Pod PodOf(const std::string& spec) {
  v1::Pod pod;
  absl::Status status =
      proto::DecodeYaml("metadata: {name: web, namespace: default, uid: u1}\nspec: " + spec, &pod, {});
  EXPECT_TRUE(status.ok()) << status << " in " << spec;
  return pod;
}

// Everything MakePlan looks at. Words of the second argument, newest first:
//   sandbox, sandbox@2 (attempt), sandbox! (not ready), sandbox- (no address), sandbox* (host network)
//   c=running, c=created, c=unknown, c=exited/CODE[/REASON]; c~=... was made from another spec
// and for the newest instance of a container: live:c (liveness failed), startup:c (failed),
// started:c (startup succeeded), busy:c, again:c (killed to be started again).
// Instances are c0, c1, ...: c0 is the newest. Containers belong to the first sandbox named.
class Scene {
 public:
  Scene(const std::string& spec, std::string_view seen) : pod(PodOf(spec)) {
    for (const auto& c : pod.spec().initcontainers()) hashes[c.name()] = "hash";
    for (const auto& c : pod.spec().containers()) hashes[c.name()] = "hash";
    for (const auto& c : pod.spec().ephemeralcontainers())
      hashes[c.ephemeralcontainercommon().name()] = "hash";
    while (!seen.empty()) {
      size_t end = std::min(seen.find(' '), seen.size());
      if (end > 0) Add(seen.substr(0, end));
      seen.remove_prefix(std::min(end + 1, seen.size()));
    }
  }

  PodPlan Plan() const {
    return MakePlan({pod, view, hashes, ended, backoff, now, busy, probes, again});
  }

  v1::Pod pod;
  ObservedPod view;
  std::map<std::string, std::string> hashes;
  std::map<std::string, base::MonoTime> ended;
  BackoffTable backoff{std::chrono::seconds(10), std::chrono::seconds(300),
                       std::chrono::seconds(600)};
  base::MonoTime now = base::MonoTime(std::chrono::hours(1));
  std::set<std::string> busy;
  std::set<std::string> again;
  ProbeResults probes;

 private:
  void Add(std::string_view word) {
    if (word.starts_with("sandbox")) return AddSandbox(word.substr(7));
    size_t mark = word.find_first_of("=:");
    ASSERT_NE(mark, std::string_view::npos) << word;
    std::string left(word.substr(0, mark));
    std::string right(word.substr(mark + 1));
    if (word[mark] == '=') return AddContainer(left, right);
    if (left == "busy") busy.insert(right);
    if (left == "live") probes.liveness[right + "0"] = ProbeResult::kFailure;
    if (left == "startup") probes.startup[right + "0"] = ProbeResult::kFailure;
    if (left == "started") probes.startup[right + "0"] = ProbeResult::kSuccess;
    if (left == "again") again.insert(right + "0");
  }

  void AddSandbox(std::string_view rest) {
    ObservedSandbox s;
    s.id = base::StrCat("sandbox", view.sandboxes.size());
    s.ready = true;
    s.ips = {"10.0.0.1"};
    for (size_t i = 0; i < rest.size(); ++i) {
      if (rest[i] == '@') s.attempt = static_cast<uint32_t>(rest[++i] - '0');
      if (rest[i] == '!') s.ready = false;
      if (rest[i] == '-' || rest[i] == '*') s.ips.clear();
      if (rest[i] == '*') s.host_network = true;
    }
    view.sandboxes.push_back(std::move(s));
  }

  void AddContainer(std::string name, const std::string& state) {
    ObservedContainer c;
    c.hash = name.ends_with("~") ? "other" : "hash";
    if (name.ends_with("~")) name.pop_back();
    c.name = name;
    c.id = base::StrCat(name, count_[name]++);
    c.sandbox_id = view.sandboxes.empty() ? "gone" : "sandbox0";
    c.image = "registry.example/" + name;
    c.image_ref = "sha256:" + name;
    if (state == "running") c.state = ContainerState::kRunning;
    if (state == "created") c.state = ContainerState::kCreated;
    if (state.starts_with("exited/")) {
      c.state = ContainerState::kExited;
      size_t slash = state.find('/', 7);
      c.exit_code = std::stoi(state.substr(7, slash - 7));
      c.reason = slash == std::string::npos ? (c.exit_code == 0 ? "Completed" : "Error")
                                            : state.substr(slash + 1);
      c.finished_at = 2'000'000'000;
    }
    if (c.state != ContainerState::kCreated) c.started_at = 1'000'000'000;
    view.containers.push_back(std::move(c));
  }

  std::map<std::string, int> count_;
};

}  // namespace keelson::kubelet
