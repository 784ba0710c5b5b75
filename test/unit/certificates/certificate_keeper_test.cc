// SPDX-License-Identifier: Apache-2.0
// The life of a node's certificates: asked for, approved or not, renewed in time, on clocks that
// jump.
#include "kubelet/certificates/certificate_keeper.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include "kubelet/certificates/node_certificates.h"
#include "kubelet/client/http_api_server.h"
#include "proto/k8s/certificates.pb.h"
#include "proto/k8s/objects.pb.h"
#include "test/apiserver/fake_api_server.h"
#include "test/apiserver/stub_server.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;
using k8s::certificates::v1::CertificateSigningRequest;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// Says what became of a request, as a person with kubectl and the signer do.
void Decide(apiserver::ObjectStore& store, const std::string& name, const std::string& condition,
            const std::string& certificate = "") {
  CertificateSigningRequest request = *store.Find<CertificateSigningRequest>("", name);
  request.mutable_status()->add_conditions()->set_type(condition);
  if (!certificate.empty()) request.mutable_status()->set_certificate(certificate);
  store.Put(request);
}

class KeeperTest : public base::OnVirtualClock {
 protected:
  KeeperTest() {
    // The authority signs for the machine's time.
    clock.StepWall(std::chrono::system_clock::now() - clock.Now());
    options_.cert_dir = dir_.path();
    options_.seed = 1;
    wanted_ = ClientTemplate("n1");
    store_.on_create = [this](const client::ApiRequest&, client::Message* object) {
      auto* request = dynamic_cast<CertificateSigningRequest*>(object);
      if (request == nullptr || !approving_) return;
      request->mutable_status()->add_conditions()->set_type("Approved");
      request->mutable_status()->set_certificate(
          authority_.Sign(request->spec().request(), lifetime_));
    };
  }
  ~KeeperTest() override { Stop(); }

  void Start() {
    keeper_ = std::make_unique<CertificateKeeper>(
        loop, options_, [this] { return wanted_; },
        [this](bool valid) {
          asked_with_.push_back(valid);
          return &api_;
        },
        [this] { ++news_; });
    group_ = std::make_unique<base::TaskGroup>(loop);
    group_->Spawn("keeper", keeper_->Run());
    RunReady();
  }
  void Stop() {
    if (!group_) return;
    group_->Cancel();
    RunReady();
    EXPECT_EQ(group_->size(), 0u);
    EXPECT_EQ(api_.watches(), 0u);
    group_.reset();
    keeper_.reset();
  }
  std::vector<std::shared_ptr<const CertificateSigningRequest>> Requests() {
    return store_.All<CertificateSigningRequest>();
  }
  void Approve() {
    const auto request = Requests().back();
    Decide(store_, request->metadata().name(), "Approved",
           authority_.Sign(request->spec().request(), lifetime_));
    RunReady();
  }
  bool HasCertificate() const {
    return keeper_->current() && !Expired(*keeper_->current(), clock.Now());
  }

  base::TempDir dir_;
  apiserver::Authority authority_{"cluster"};
  apiserver::ObjectStore store_{clock};
  apiserver::FakeApiServer api_{loop, store_};
  bool approving_ = false;
  base::Nanos lifetime_ = hours(100);
  CertificateKeeperOptions options_;
  std::optional<CertificateTemplate> wanted_;
  std::vector<bool> asked_with_;
  int news_ = 0;
  std::unique_ptr<CertificateKeeper> keeper_;
  std::unique_ptr<base::TaskGroup> group_;
};

TEST_F(KeeperTest, TheFirstCertificateComesWithItsApproval) {
  Start();
  RunFor(minutes(5));
  ASSERT_EQ(Requests().size(), 1u);
  const auto& spec = Requests()[0]->spec();
  EXPECT_TRUE(Requests()[0]->metadata().name().starts_with("node-csr-"));
  EXPECT_EQ(spec.signername(), "kubernetes.io/kube-apiserver-client-kubelet");
  EXPECT_EQ(spec.usages_size(), 2);
  EXPECT_FALSE(HasCertificate());
  Approve();
  EXPECT_TRUE(HasCertificate()) << "at once, by the watch";
  EXPECT_EQ(news_, 1);
  EXPECT_EQ(asked_with_, std::vector<bool>{false});
  EXPECT_EQ(keeper_->current()->subject, ClientTemplate("n1"));
  EXPECT_FALSE(base::PathExists(dir_ / "kubelet-client.key.tmp"));
  EXPECT_TRUE(base::PathExists(dir_ / "kubelet-client-current.pem"));
}

TEST_F(KeeperTest, ARestartWaitsForTheSameRequest) {
  Start();
  Stop();
  Start();
  RunFor(minutes(1));
  EXPECT_EQ(Requests().size(), 1u);
  Approve();
  EXPECT_TRUE(HasCertificate());
}

TEST_F(KeeperTest, ARequestThatWasIssuedButExpiredIsNotWaitedFor) {
  lifetime_ = minutes(10);
  approving_ = true;
  api_.fault = [](const std::string& what) {
    apiserver::Fault fault;
    fault.lose = what.starts_with("POST");  // signed, and we never heard
    return fault;
  };
  Start();
  Stop();
  ASSERT_EQ(Requests().size(), 1u);
  api_.fault = nullptr;
  clock.StepWall(minutes(20));
  lifetime_ = hours(1);
  Start();
  RunFor(minutes(1));
  EXPECT_EQ(Requests().size(), 2u);
  EXPECT_TRUE(HasCertificate());
}

TEST_F(KeeperTest, ADenialIsSaidAndAskedAgain) {
  Start();
  Decide(store_, Requests()[0]->metadata().name(), "Denied");
  RunReady();
  EXPECT_EQ(keeper_->failures(), 1);
  RunFor(minutes(2));
  EXPECT_EQ(Requests().size(), 1u) << "no flood of requests";
  EXPECT_GT(keeper_->failures(), 3);
  store_.Erase<CertificateSigningRequest>("", Requests()[0]->metadata().name());
  approving_ = true;
  RunFor(minutes(1));
  EXPECT_TRUE(HasCertificate());
}

TEST_F(KeeperTest, WhatNobodySignsIsGivenUpAfter15Minutes) {
  Start();
  RunFor(minutes(14));
  EXPECT_EQ(keeper_->failures(), 0);
  RunFor(minutes(2));
  EXPECT_EQ(keeper_->failures(), 1);
  Approve();
  RunFor(minutes(1));
  EXPECT_TRUE(HasCertificate()) << "the next try finds it approved";
}

TEST_F(KeeperTest, RenewsBetween70And90PercentOfTheLifetime) {
  approving_ = true;
  Start();
  RunFor(hours(69));
  EXPECT_EQ(Requests().size(), 1u);
  lifetime_ = hours(1000);
  RunFor(hours(22));
  ASSERT_EQ(Requests().size(), 2u);
  EXPECT_EQ(news_, 2);
  EXPECT_EQ(asked_with_, (std::vector<bool>{false, true})) << "as the node itself";
}

TEST_F(KeeperTest, ANodeThatMayNotRotateKeepsItsFirst) {
  approving_ = true;
  options_.rotate = false;
  Start();
  EXPECT_TRUE(HasCertificate());
  EXPECT_EQ(group_->size(), 0u);
}

TEST_F(KeeperTest, AClockThatJumpsAheadRenewsWithinAMinute) {
  approving_ = true;
  Start();
  clock.StepWall(hours(95));
  lifetime_ = hours(1000);
  RunFor(minutes(1) + seconds(1));
  EXPECT_EQ(Requests().size(), 2u);
}

TEST_F(KeeperTest, ASignerWhoseClockIsBehindIsNotFlooded) {
  approving_ = true;
  clock.StepWall(hours(95));
  Start();
  RunFor(minutes(2));
  EXPECT_TRUE(HasCertificate());
  EXPECT_LE(Requests().size(), 9u);
}

TEST_F(KeeperTest, AClockThatWasAheadAndIsSetRightNeedsNothingNew) {
  approving_ = true;
  Start();
  Stop();
  clock.StepWall(hours(200));
  api_.SetReachable(false);
  news_ = 0;
  Start();
  RunFor(minutes(3));
  EXPECT_GT(keeper_->failures(), 2);
  clock.StepWall(-hours(200));
  api_.SetReachable(true);
  RunFor(minutes(1));
  EXPECT_EQ(Requests().size(), 1u);
  EXPECT_EQ(news_, 1) << "those who waited for a certificate have one";
}

TEST_F(KeeperTest, AnOutageWhileWaitingCostsNothing) {
  Start();
  api_.SetReachable(false);
  RunFor(minutes(5));
  api_.SetReachable(true);
  Approve();
  RunFor(minutes(1));
  EXPECT_TRUE(HasCertificate());
  EXPECT_EQ(keeper_->failures(), 0);
}

TEST_F(KeeperTest, ServingCertificateFollowsTheAddresses) {
  options_.purpose = CertificatePurpose::kServing;
  approving_ = true;
  wanted_ = std::nullopt;
  Start();
  RunFor(minutes(5));
  EXPECT_TRUE(Requests().empty()) << "no address yet";
  wanted_ = ServingTemplate("n1", {{"InternalIP", "10.0.0.7"}});
  keeper_->Changed();
  RunReady();
  ASSERT_EQ(Requests().size(), 1u);
  EXPECT_EQ(Requests()[0]->spec().signername(), "kubernetes.io/kubelet-serving");
  EXPECT_EQ(keeper_->current()->subject.ips, std::vector<std::string>{"10.0.0.7"});
  EXPECT_TRUE(base::PathExists(dir_ / "kubelet-server-current.pem"));
  wanted_ = ServingTemplate("n1", {{"InternalIP", "10.0.0.8"}});
  keeper_->Changed();
  RunReady();
  EXPECT_EQ(Requests().size(), 2u);
  EXPECT_EQ(keeper_->current()->subject.ips, std::vector<std::string>{"10.0.0.8"});
}

TEST_F(KeeperTest, AddressesThatChangeWhileWeWaitEndTheWait) {
  options_.purpose = CertificatePurpose::kServing;
  wanted_ = ServingTemplate("n1", {{"InternalIP", "10.0.0.7"}});
  Start();
  wanted_ = ServingTemplate("n1", {{"InternalIP", "10.0.0.8"}});
  approving_ = true;
  keeper_->Changed();
  RunFor(seconds(5));
  ASSERT_TRUE(keeper_->current());
  EXPECT_EQ(keeper_->current()->subject.ips, std::vector<std::string>{"10.0.0.8"});
}

// Over real connections: who may only ask for a certificate gets one, and what waited for it goes
// on as the node.
TEST(BootstrapTest, AFreshMachineBecomesTheNode) {
  ::signal(SIGPIPE, SIG_IGN);
  base::TempDir dir;
  base::Loop loop;
  apiserver::Authority authority("cluster");
  apiserver::ObjectStore store(loop.clock());
  apiserver::FakeApiServer fake(loop, store);
  store.on_create = [&](const client::ApiRequest&, client::Message* object) {
    auto* request = dynamic_cast<CertificateSigningRequest*>(object);
    if (request == nullptr) return;
    request->mutable_status()->add_conditions()->set_type("Approved");
    request->mutable_status()->set_certificate(authority.Sign(request->spec().request()));
  };
  apiserver::StubOptions stub_options;
  stub_options.serving = authority.Issue({"server", "", {}, {"127.0.0.1"}});
  stub_options.client_ca = authority.ca_pem();
  stub_options.tokens["boot"] = "system:bootstrap:abc";
  stub_options.anonymous = false;
  auto stub = apiserver::StubServer::Start(loop, fake, stub_options).value();
  ASSERT_TRUE(base::WriteFileAtomic(dir / "ca.crt", authority.ca_pem(), 0600).ok());
  const std::string kubeconfig = StrCat(
      "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: k, cluster: {server: \"",
      stub->url(), "\", certificate-authority: ca.crt}}]\n",
      "contexts: [{name: c, context: {cluster: k, user: u}}]\n",
      "users: [{name: u, user: {token: boot}}]\n");
  ASSERT_TRUE(base::WriteFileAtomic(dir / "bootstrap.conf", kubeconfig, 0600).ok());

  NodeCertificatesOptions options;
  options.identity = {dir / "kubelet.conf", dir / "bootstrap.conf", dir / "pki", true};
  options.node_name = "n1";
  options.serving = true;
  options.user_agent = "kubelet";
  auto made = NodeCertificates::Make(loop, options);
  ASSERT_TRUE(made.ok()) << made.status();
  NodeCertificates& node = **made;
  auto api = client::NewHttpApiServer(loop, node.transport(), {});
  const auto story = [&]() -> base::Task<absl::Status> {
    node.Start([] {
      return std::vector<std::pair<std::string, std::string>>{{"InternalIP", "127.0.0.1"}};
    });
    auto map = co_await api->Get<k8s::v1::ConfigMap>("default", "none");
    while (!node.ServingExpiry()) {  // each answer is a turn of the server
      auto again = co_await api->Get<k8s::v1::ConfigMap>("default", "none");
      if (!client::IsNotFound(again.status())) break;
    }
    co_await node.Close();
    co_await stub->Stop();
    co_return map.status();
  };
  const absl::Status answer = base::RunOnLoop(loop, story());
  EXPECT_TRUE(client::IsNotFound(answer)) << answer;
  EXPECT_EQ(stub->users().front(), "system:bootstrap:abc");
  EXPECT_EQ(stub->users().back(), "system:node:n1");
  EXPECT_TRUE(node.ClientExpiry());
  EXPECT_TRUE(node.ServingExpiry());
  EXPECT_EQ(node.serving_failures(), 0);
  EXPECT_TRUE(base::PathExists(NodeCertificates::ServingPath(dir / "pki")));

  // The next start needs nobody's leave.
  ASSERT_EQ(::unlink((dir / "bootstrap.conf").c_str()), 0);
  auto again = NodeCertificates::Make(loop, options);
  EXPECT_TRUE(again.ok()) << again.status();
}

}  // namespace
}  // namespace keelson::kubelet
