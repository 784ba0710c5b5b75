// SPDX-License-Identifier: Apache-2.0
// Pods of the API server, their statuses and mirrors, against an API server with faults, on a virtual
// clock.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "kubelet/cluster/mirror_pods.h"
#include "kubelet/cluster/status_manager.h"
#include "kubelet/status.h"
#include "proto/codec/codec.h"
#include "proto/k8s/node.pb.h"
#include "test/apiserver/fake_api_server.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet {

using apiserver::Fault;
using base::StrCat;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

template <typename T>
T FromYaml(const std::string& yaml) {
  T message;
  absl::Status status = proto::DecodeYaml(yaml, &message, {});
  EXPECT_TRUE(status.ok()) << status << " in " << yaml;
  return message;
}

inline v1::PodStatus StatusOf(const std::string& yaml) { return FromYaml<v1::PodStatus>(yaml); }

class ClusterPodsTest : public base::OnVirtualClock {
 protected:
  ~ClusterPodsTest() override {
    group_.Cancel();
    RunReady();
  }

  void Start() {
    group_.Spawn("pods", pods_.Run());
    group_.Spawn("statuses", statuses_.Run());
    group_.Spawn("mirrors", mirrors_.Run());
    RunReady();
  }

  // --- People ---
  v1::Pod NewPod(const std::string& name, const std::string& extra = "") {
    return FromYaml<v1::Pod>(StrCat("metadata: {name: ", name, ", namespace: default", extra,
                                    "}\nspec: {nodeName: a, restartPolicy: Never, "
                                    "terminationGracePeriodSeconds: 5, containers: [{name: c}]}"));
  }
  PodPtr Put(const v1::Pod& pod) {
    auto stored = std::static_pointer_cast<const v1::Pod>(store_.Put(pod));
    RunReady();
    return stored;
  }
  PodPtr Object(const std::string& name) { return store_.Find<v1::Pod>("default", name); }
  void DeleteGracefully(const std::string& name) {
    client::ApiRequest request;
    request.verb = client::Verb::kDelete;
    request.resource = &client::ResourceOf<v1::Pod>();
    request.ns = "default";
    request.name = name;
    ASSERT_TRUE(store_.Do(request, nullptr).ok());
    RunReady();
  }
  template <typename F>
  void Change(const std::string& name, F change) {
    v1::Pod pod = *Object(name);
    change(pod);
    Put(pod);
  }

  // --- The agent ---
  void Say(const std::string& name, const std::string& status, bool may_run = true,
           bool finished = false) {
    PodReport report;
    report.pod = pods_.Find("default", name);
    ASSERT_TRUE(report.pod) << name;
    report.status = StatusOf(status);
    report.may_run = may_run;
    report.finished = finished;
    statuses_.Set(report);
    RunReady();
  }
  void SayOfStatic(const PodPtr& pod, const std::string& status) {
    PodReport report;
    report.pod = pod;
    report.status = StatusOf(status);
    report.may_run = true;
    statuses_.Set(report);
    RunReady();
  }
  PodPtr Static(const std::string& name, const std::string& hash, const std::string& ns = "default") {
    return std::make_shared<v1::Pod>(FromYaml<v1::Pod>(
        StrCat("metadata: {name: ", name, ", namespace: ", ns, ", uid: ", hash,
               ", annotations: {kubernetes.io/config.hash: ", hash,
               ", kubernetes.io/config.source: file}}\n"
               "spec: {nodeName: a, containers: [{name: c}]}")));
  }
  void Manifests(std::vector<PodPtr> pods) {
    mirrors_.Apply({PodSource::kFile, std::move(pods)});
    RunReady();
  }
  void Ends(const std::string& full_name) {
    ending_.erase(full_name);
    mirrors_.Wake();
    RunReady();
  }
  void RegisterNode() {
    node_ = FromYaml<v1::Node>("metadata: {name: a, uid: node-uid}");
    mirrors_.Wake();
    RunReady();
  }

  // --- The server ---
  std::vector<std::string> Requests() { return std::exchange(server_.requests, {}); }
  int Patches() { return server_.CountRequests("PATCH"); }
  // The next `times` requests that start so suffer; the others do not.
  void Fail(std::string prefix, int times, Fault fault) {
    server_.fault = [=, left = times](const std::string& what) mutable {
      if (!what.starts_with(prefix) || left == 0) return Fault();
      --left;
      return fault;
    };
  }
  std::vector<std::string> LastNames() const {
    std::vector<std::string> names;
    for (const auto& pod : last_.pods) names.push_back(pod->metadata().name());
    return names;
  }
  using Words = std::vector<std::string>;

  apiserver::ObjectStore store_{clock};
  apiserver::FakeApiServer server_{loop, store_};
  SourceUpdate last_{PodSource::kFile, {}};
  int updates_ = 0;
  ApiPods pods_{loop, server_, {"a", 1}, [this](SourceUpdate update) {
                  last_ = std::move(update);
                  ++updates_;
                }};
  StatusManager statuses_{loop, server_, pods_, {.seed = 1}};
  std::optional<v1::Node> node_;
  std::set<std::string> ending_;  // full names of static pods
  MirrorPods mirrors_{loop, server_, pods_, [this] { return node_ ? &*node_ : nullptr; },
                      {.sources = {PodSource::kFile},
                       .ending = [this](const std::string& name) { return ending_.contains(name); },
                       .seed = 1}};
  base::TaskGroup group_{loop};
};

}  // namespace keelson::kubelet
