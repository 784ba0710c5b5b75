// SPDX-License-Identifier: Apache-2.0
// The node's object and its lease, against a scripted API server on a virtual clock.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "kubelet/client/api_error.h"
#include "kubelet/node/lease_keeper.h"
#include "kubelet/node/node_keeper.h"

namespace keelson::kubelet {
namespace {

using namespace std::chrono_literals;
using base::Task;
using client::ApiRequest;
using client::Verb;
using k8s::v1::Node;
using testing::ElementsAre;

// Knows one node and one lease; notes every request; fails those it was told to.
class ScriptedApi : public client::ApiServer {
 public:
  Task<absl::Status> Do(ApiRequest request, client::Message* answer) override {
    requests.push_back(request.Describe());
    if (request.verb == Verb::kPatch) patches.push_back(proto::ToJson(request.patch));
    if (!failures.empty()) {
      const int code = failures.front();
      failures.pop_front();
      if (code != 0) co_return Failed(code);
    }
    client::Message* object = request.resource->plural == "nodes"
                                  ? static_cast<client::Message*>(&node)
                                  : static_cast<client::Message*>(&lease);
    bool& exists = request.resource->plural == "nodes" ? node_exists : lease_exists;
    if (request.verb == Verb::kCreate && exists) co_return Failed(409, "AlreadyExists");
    if (request.verb != Verb::kCreate && !exists) co_return Failed(404, "NotFound");
    if (request.body) {
      object->CopyFrom(*request.body);
      exists = true;
    }
    answer->CopyFrom(*object);
    co_return absl::OkStatus();
  }
  Task<absl::StatusOr<std::unique_ptr<client::WatchStream>>> Watch(const client::Resource&,
                                                                   std::string,
                                                                   client::WatchOptions) override {
    co_return absl::UnimplementedError("nobody watches here");
  }
  Task<absl::StatusOr<std::string>> GetRaw(std::string) override {
    co_return absl::UnimplementedError("nobody asks here");
  }
  static absl::Status Failed(int code, std::string reason = "") {
    client::ApiError error;
    error.code = code;
    error.reason = std::move(reason);
    error.message = "scripted";
    return client::ToStatus(error, "request");
  }
  size_t Count(const std::string& start) const {
    return std::count_if(requests.begin(), requests.end(),
                         [&](const auto& r) { return r.starts_with(start); });
  }

  Node node;
  k8s::coordination::v1::Lease lease;
  bool node_exists = false, lease_exists = false;
  std::deque<int> failures;  // HTTP codes of the next answers; 0 goes well
  std::vector<std::string> requests, patches;
};

class NoEvents : public EventRecorder {
 public:
  void PodEvent(const v1::Pod&, EventType, std::string_view, std::string, std::string) override {}
  void NodeEvent(EventType, std::string_view reason, std::string message) override {
    seen.push_back(std::string(reason) + ": " + message);
  }
  std::vector<std::string> seen;
};

class KeepersTest : public testing::Test {
 protected:
  KeepersTest() {
    settings_.name = settings_.hostname = "n";
    settings_.info.set_bootid("boot-2");
    settings_.capacity.base = {1000, 1 << 30, 1000};
  }
  ~KeepersTest() override {
    tasks_.Cancel();
    while (tasks_.size() > 0) loop_.RunReady();
  }
  NodeKeeper& StartNode() {
    NodeKeeperOptions options;
    options.settings = settings_;
    options.seed = 1;
    node_keeper_.emplace(loop_, api_, events_, options, [this] { return state_; },
                         [this](const std::string& cidr) { cidrs_.push_back(cidr); });
    node_keeper_->OnNode([this](const Node& node) { heard_ = node; });
    tasks_.Spawn("node", node_keeper_->Run());
    Pass(0s);
    return *node_keeper_;
  }
  void StartLease() {
    lease_keeper_.emplace(loop_, api_, LeaseKeeperOptions{"n", 40, 1},
                          [this]() -> const Node* { return api_.node_exists ? &api_.node : nullptr; });
    tasks_.Spawn("lease", lease_keeper_->Run());
    Pass(0s);
  }
  void Pass(base::Nanos time) { base::RunFor(loop_, clock_, time); }

  base::VirtualClock clock_;
  base::Loop loop_{clock_};
  ScriptedApi api_;
  NoEvents events_;
  NodeSettings settings_;
  NodeState state_;
  std::vector<std::string> cidrs_;
  Node heard_;
  std::optional<NodeKeeper> node_keeper_;
  std::optional<LeaseKeeper> lease_keeper_;
  base::TaskGroup tasks_{loop_};
};

TEST_F(KeepersTest, ANewNodeIsCreatedAndThenQuietUntilTheReport) {
  StartNode();
  EXPECT_EQ(api_.requests[0], "POST /api/v1/nodes");
  const size_t at_start = api_.requests.size();
  Pass(2min);
  EXPECT_LE(api_.requests.size(), at_start + 1) << testing::PrintToString(api_.requests);
  Pass(30min);
  EXPECT_GE(api_.Count("PATCH /api/v1/nodes/n/status"), 4u);
  EXPECT_LE(api_.Count("PATCH /api/v1/nodes/n/status"), 10u);
}

TEST_F(KeepersTest, RegistrationIsTriedAgainWithGrowingPauses) {
  api_.failures = {503, 503, 503, 503};
  StartNode();
  Pass(699ms);
  EXPECT_EQ(api_.Count("POST /api/v1/nodes"), 3u);
  Pass(2s);
  EXPECT_TRUE(api_.node_exists);
}

TEST_F(KeepersTest, AKnownNodeIsReconciled) {
  api_.node_exists = true;
  api_.node.mutable_metadata()->set_name("n");
  (*api_.node.mutable_metadata()->mutable_labels())["theirs"] = "x";
  StartNode();
  EXPECT_EQ(api_.requests[1], "GET /api/v1/nodes/n");
  EXPECT_EQ(api_.requests[2], "PATCH /api/v1/nodes/n");
  EXPECT_NE(api_.patches[0].find("kubernetes.io/hostname"), std::string::npos);
  EXPECT_EQ(api_.patches[0].find("theirs"), std::string::npos);
}

TEST_F(KeepersTest, AChangeIsWrittenAtOnceAndSaysOnlyWhatChanged) {
  StartNode();
  const size_t before = api_.patches.size();
  state_.problems = {"container runtime is down"};
  node_keeper_->StateChanged();
  Pass(0s);
  ASSERT_GT(api_.patches.size(), before);
  EXPECT_NE(api_.patches.back().find("container runtime is down"), std::string::npos);
  EXPECT_EQ(api_.patches.back().find("capacity"), std::string::npos) << api_.patches.back();
}

TEST_F(KeepersTest, AFailedWriteReadsTheNodeAndTriesAgain) {
  StartNode();
  api_.failures = {500};
  state_.problems = {"x"};
  node_keeper_->StateChanged();
  Pass(0s);
  EXPECT_EQ(api_.Count("GET /api/v1/nodes/n"), 1u);
}

TEST_F(KeepersTest, WhatOthersWroteIsHeardOfAtARefresh) {
  NodeKeeper& keeper = StartNode();
  EXPECT_EQ(heard_.metadata().name(), "n");
  (*api_.node.mutable_metadata()->mutable_labels())["disk"] = "fast";
  auto refresh = [](NodeKeeper* k) -> Task<void> {
    const absl::Status read = co_await k->Refresh();
    EXPECT_TRUE(read.ok()) << read;
  };
  tasks_.Spawn("refresh", refresh(&keeper));
  Pass(0s);
  EXPECT_EQ(heard_.metadata().labels().at("disk"), "fast");
}

TEST_F(KeepersTest, PodCidrsAreToldOnce) {
  api_.node_exists = true;
  api_.node.mutable_spec()->add_podcidrs("10.1.0.0/24");
  api_.node.mutable_spec()->add_podcidrs("fd00::/64");
  StartNode();
  Pass(1h);
  EXPECT_THAT(cidrs_, ElementsAre("10.1.0.0/24,fd00::/64"));
}

TEST_F(KeepersTest, AnotherBootIsAnEvent) {
  api_.node_exists = true;
  api_.node.mutable_status()->mutable_nodeinfo()->set_bootid("boot-1");
  StartNode();
  Pass(1h);
  EXPECT_THAT(events_.seen, ElementsAre("Rebooted: Node n has been rebooted, boot id: boot-2"));
}

TEST_F(KeepersTest, ALeaseIsMadeOwnedAndRenewedEveryTenSeconds) {
  api_.node_exists = true;
  api_.node.mutable_metadata()->set_uid("u-1");
  StartLease();
  EXPECT_EQ(api_.lease.spec().holderidentity(), "n");
  EXPECT_EQ(api_.lease.spec().leasedurationseconds(), 40);
  EXPECT_EQ(api_.lease.metadata().ownerreferences(0).uid(), "u-1");
  Pass(105s);
  EXPECT_EQ(api_.Count("PUT /apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n"), 10u);
  EXPECT_EQ(api_.Count("GET"), 1u);
}

TEST_F(KeepersTest, AConflictReadsTheLeaseAgain) {
  StartLease();
  api_.failures = {409};
  Pass(12s);
  EXPECT_EQ(api_.Count("GET"), 2u);
  EXPECT_TRUE(lease_keeper_->renewed().has_value());
}

}  // namespace
}  // namespace keelson::kubelet
