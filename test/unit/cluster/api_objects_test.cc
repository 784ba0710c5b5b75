// SPDX-License-Identifier: Apache-2.0
// Objects that pods name, and their tokens, against an API server with faults, on a virtual clock.
#include "kubelet/cluster/api_objects.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/node_class.pb.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/storage.pb.h"
#include "proto/k8s/volume.pb.h"
#include "test/apiserver/fake_api_server.h"
#include "test/unit/base/fixture.h"

namespace keelson::kubelet {
namespace {

namespace v1 = ::k8s::v1;
using apiserver::Fault;
using base::StrCat;
using base::Task;
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// Remembers the last token that was asked for.
class Server : public apiserver::FakeApiServer {
 public:
  using FakeApiServer::FakeApiServer;
  Task<absl::Status> Do(client::ApiRequest request, client::Message* answer) override {
    if (request.subresource == "token") asked.CopyFrom(*request.body);
    return FakeApiServer::Do(std::move(request), answer);
  }
  k8s::authentication::v1::TokenRequest asked;
};

class ApiObjectsTest : public base::OnVirtualClock {
 protected:
  ~ApiObjectsTest() override {
    base::TaskGroup group(loop);
    group.Spawn("close", objects_.Close());
    loop.RunReady();
    EXPECT_EQ(group.size(), 0u);
    EXPECT_EQ(server_.watches(), 0u);
  }

  // What `task` returns, within `limit` of virtual time.
  template <typename T>
  T Finish(Task<T> task, base::Nanos limit = seconds(5)) {
    std::optional<T> result;
    base::TaskGroup group(loop);
    group.Spawn("test", base::internal::StoreResult<T>(std::move(task), &result));
    loop.RunReady();
    if (!result) RunFor(limit);
    group.Cancel();
    loop.RunReady();
    return result ? *std::move(result) : T(absl::CancelledError("still waiting"));
  }
  static csi::PodPtr Pod(const std::string& uid) {
    auto pod = std::make_shared<v1::Pod>();
    pod->mutable_metadata()->set_uid(uid);
    pod->mutable_metadata()->set_namespace_("shop");
    return pod;
  }
  void Register(const std::string& uid, std::set<std::string> maps,
                std::set<std::string> secrets = {}) {
    objects_.Register(Pod(uid), {std::move(maps), std::move(secrets)},
                      [this, uid] { told_.push_back(uid); });
    RunReady();
  }
  void Unregister(const std::string& uid) {
    objects_.Unregister(uid);
    RunReady();
  }
  void Put(const std::string& name, const std::string& value, bool immutable = false) {
    v1::ConfigMap map;
    map.mutable_metadata()->set_namespace_("shop");
    map.mutable_metadata()->set_name(name);
    (*map.mutable_data())["k"] = value;
    if (immutable) map.set_immutable(true);
    store_.Put(map);
    RunReady();
  }
  // The value of the map's one key, or what is wrong.
  std::string Map(const std::string& name) {
    auto map = Finish(objects_.ConfigMap("shop", name));
    return map.ok() ? (*map)->data().at("k") : std::string(base::Message(map.status()));
  }
  std::vector<std::string> Told() { return std::exchange(told_, {}); }
  int Watches(const std::string& name) {
    return server_.CountRequests(
        StrCat("WATCH /api/v1/namespaces/shop/configmaps (metadata.name=", name, ")"));
  }
  using Words = std::vector<std::string>;

  apiserver::ObjectStore store_{clock};
  Server server_{loop, store_};
  ApiObjects objects_{loop, server_, {.seed = 1}};
  Words told_;
};

TEST_F(ApiObjectsTest, AnObjectOfManyPodsIsWatchedOnceUntilTheLastIsGone) {
  Put("conf", "one");
  Register("a", {"conf"});
  Register("b", {"conf"});
  EXPECT_EQ(Map("conf"), "one");
  EXPECT_EQ(Watches("conf"), 1);
  Unregister("a");
  EXPECT_EQ(server_.watches(), 1u);
  EXPECT_EQ(Map("conf"), "one");
  Unregister("b");
  EXPECT_EQ(server_.watches(), 0u);
  EXPECT_EQ(Map("conf"), "object \"shop\"/\"conf\" not registered");
}

TEST_F(ApiObjectsTest, AChangeIsToldToThePodsThatNameTheObject) {
  Put("conf", "one");
  Put("other", "one");
  Register("a", {"conf"});
  Register("b", {"conf", "other"});
  EXPECT_EQ(Told(), Words()) << "the first look is no change";
  Put("conf", "two");
  EXPECT_EQ(Told(), (Words{"a", "b"}));
  EXPECT_EQ(Map("conf"), "two");
  Put("other", "two");
  EXPECT_EQ(Told(), Words{"b"});
  Register("b", {"conf"});
  Put("other", "three");
  EXPECT_EQ(Told(), Words()) << "b names it no more";
  EXPECT_EQ(server_.watches(), 1u);
}

TEST_F(ApiObjectsTest, WhatIsImmutableIsReadOnceAndWatchedNoMore) {
  Put("conf", "one", true);
  Register("a", {"conf"});
  EXPECT_EQ(Map("conf"), "one");
  EXPECT_EQ(server_.watches(), 0u);
  server_.SetReachable(false);
  Register("b", {"conf"});
  EXPECT_EQ(Map("conf"), "one");
  server_.SetReachable(true);
  Put("later", "one");
  Register("a", {"conf", "later"});
  EXPECT_EQ(server_.watches(), 1u);
  Put("later", "two", true);
  EXPECT_EQ(Told(), Words{"a"});
  EXPECT_EQ(server_.watches(), 0u) << "it said so later on";
}

TEST_F(ApiObjectsTest, WhatIsMissingIsNamedAndToldOfWhenItComes) {
  Register("a", {"conf", ""}, {"keys"});
  EXPECT_EQ(Map("conf"), "configmap \"conf\" not found");
  EXPECT_EQ(Map(""), "configmap \"\" not found");
  auto secret = Finish(objects_.Secret("shop", "keys"));
  EXPECT_TRUE(absl::IsNotFound(secret.status()));
  EXPECT_EQ(base::Message(secret.status()), "secret \"keys\" not found");
  Put("conf", "one");
  EXPECT_EQ(Told(), Words{"a"});
  EXPECT_EQ(Map("conf"), "one");
}

TEST_F(ApiObjectsTest, WhileTheServerIsAwayWhatWasKnownIsTheAnswer) {
  Put("conf", "one");
  Register("a", {"conf"});
  EXPECT_EQ(Map("conf"), "one");
  server_.SetReachable(false);
  Register("a", {"conf", "new"});
  RunFor(hours(5));
  EXPECT_EQ(Map("conf"), "one");
  EXPECT_EQ(Map("new"),
            "failed to sync configmap cache: timed out waiting for the condition");
  Put("new", "one");
  EXPECT_EQ(Told(), Words());
  server_.SetReachable(true);
  RunFor(minutes(1));
  EXPECT_EQ(Told(), Words{"a"}) << "somebody had asked in vain";
  EXPECT_EQ(Map("new"), "one");
}

TEST_F(ApiObjectsTest, NothingIsAskedBeforeItIsNeeded) {
  RunFor(minutes(10));
  EXPECT_TRUE(server_.requests.empty());
  objects_.Start();
  RunReady();
  EXPECT_EQ(server_.requests, (Words{"LIST /api/v1/services", "WATCH /api/v1/services"}));
}

TEST_F(ApiObjectsTest, ServicesAreThoseOfTheNamespaceAndOfDefault) {
  for (const std::string ns : {"default", "other", "shop"}) {
    v1::Service service;
    service.mutable_metadata()->set_namespace_(ns);
    service.mutable_metadata()->set_name("s-" + ns);
    store_.Put(service);
  }
  server_.SetReachable(false);
  auto complete = Finish(objects_.Services("shop", true));
  EXPECT_EQ(base::Message(complete.status()),
            "services have not yet been read at least once, cannot construct envvars");
  EXPECT_TRUE(Finish(objects_.Services("shop", false))->empty());
  server_.SetReachable(true);
  RunFor(minutes(1));
  Words names;
  const auto services = Finish(objects_.Services("shop", true));
  ASSERT_TRUE(services.ok());
  for (const auto& service : *services) names.push_back(service->metadata().name());
  EXPECT_EQ(names, (Words{"s-default", "s-shop"}));
}

TEST_F(ApiObjectsTest, ARuntimeClassNamesItsHandler) {
  k8s::node::v1::RuntimeClass gvisor;
  gvisor.mutable_metadata()->set_name("gvisor");
  gvisor.set_handler("runsc");
  store_.Put(gvisor);
  EXPECT_EQ(*Finish(objects_.RuntimeHandler("gvisor")), "runsc");
  auto none = Finish(objects_.RuntimeHandler("kata"));
  EXPECT_EQ(base::Message(none.status()), "runtimeclass.node.k8s.io \"kata\" not found");
  EXPECT_EQ(server_.CountRequests("LIST /apis/node.k8s.io/v1/runtimeclasses"), 1);
}

TEST_F(ApiObjectsTest, StorageIsReadByName) {
  k8s::storage::v1::CSIDriver driver;
  driver.mutable_metadata()->set_name("disk.csi");
  driver.mutable_spec()->set_attachrequired(false);
  store_.Put(driver);
  v1::PersistentVolumeClaim claim;
  claim.mutable_metadata()->set_namespace_("shop");
  claim.mutable_metadata()->set_name("data");
  store_.Put(claim);
  v1::PersistentVolume volume;
  volume.mutable_metadata()->set_name("pv1");
  store_.Put(volume);
  k8s::storage::v1::VolumeAttachment attachment;
  attachment.mutable_metadata()->set_name("csi-1");
  store_.Put(attachment);
  EXPECT_FALSE((*Finish(objects_.CsiDriver("disk.csi")))->spec().attachrequired());
  EXPECT_EQ((*Finish(objects_.Claim("shop", "data")))->metadata().name(), "data");
  EXPECT_EQ((*Finish(objects_.Volume("pv1")))->metadata().name(), "pv1");
  EXPECT_EQ((*Finish(objects_.Attachment("csi-1")))->metadata().name(), "csi-1");
  EXPECT_TRUE(absl::IsNotFound(Finish(objects_.CsiDriver("none")).status()));
  EXPECT_TRUE(absl::IsNotFound(Finish(objects_.Claim("shop", "none")).status()));
}

class Tokens : public ApiObjectsTest {
 protected:
  Tokens() {
    v1::ServiceAccount account;
    account.mutable_metadata()->set_namespace_("shop");
    account.mutable_metadata()->set_name("robot");
    store_.Put(account);
    objects_.Start();
    Register("u1", {});
  }
  static csi::TokenSpec Spec(const std::string& audience = "", int64_t life = 3600) {
    return {.pod_namespace = "shop",
            .service_account = "robot",
            .pod_name = "web",
            .pod_uid = "u1",
            .audience = audience,
            .expiration_seconds = life};
  }
  // The number of the token, as the server counts them, or what is wrong.
  std::string Token(csi::TokenSpec spec = Spec()) {
    auto token = Finish(objects_.ServiceAccountToken(std::move(spec)));
    if (!token.ok()) return std::string(base::Message(token.status()));
    return token->value.substr(token->value.rfind('-') + 1);
  }
};

TEST_F(Tokens, OneTokenServesUntilFourFifthsOfItsLife) {
  EXPECT_EQ(Token(), "1");
  EXPECT_EQ(Token(), "1");
  EXPECT_EQ(Token(Spec("vault")), "2");
  EXPECT_EQ(Token(Spec("", 7200)), "3");
  RunFor(minutes(47));
  EXPECT_EQ(Told(), Words());
  EXPECT_EQ(Token(), "1");
  RunFor(minutes(1));
  EXPECT_FALSE(Told().empty());
  EXPECT_EQ(Token(), "4");
  EXPECT_EQ(Token(Spec("vault")), "5");
  EXPECT_EQ(Token(Spec("", 7200)), "3");
}

TEST_F(Tokens, ALifeOfNothingIsNoReasonToAskAllTheTime) {
  EXPECT_EQ(Token(Spec("", 0)), "1");
  EXPECT_EQ(Token(Spec("", 0)), "1");
  RunFor(seconds(30));
  EXPECT_EQ(Told(), Words());
}

TEST_F(Tokens, ADayIsTheLongestUse) {
  EXPECT_EQ(Token(Spec("", 30 * 24 * 3600)), "1");
  RunFor(hours(23));
  EXPECT_EQ(Token(Spec("", 30 * 24 * 3600)), "1");
  RunFor(hours(1));
  EXPECT_EQ(Told(), Words{"u1"});
  EXPECT_EQ(Token(Spec("", 30 * 24 * 3600)), "2");
}

TEST_F(Tokens, ARefusedRenewalLeavesTheOldTokenUntilItExpires) {
  EXPECT_EQ(Token(), "1");
  server_.fault = [](const std::string& what) {
    return what.find("/token") != std::string::npos ? Fault{.error = 500} : Fault();
  };
  RunFor(minutes(52));
  EXPECT_EQ(Token(), "1");
  EXPECT_GE(Told().size(), 3u) << "asked again each minute";
  RunFor(minutes(8));
  EXPECT_EQ(Token(),
            "token of service account shop/robot expired and refresh failed: a fault of the test");
  server_.fault = nullptr;
  EXPECT_EQ(Token(), "2");
}

TEST_F(Tokens, WhatTheServerSaysIsPassedOn) {
  csi::TokenSpec spec = Spec();
  spec.service_account = "nobody";
  EXPECT_EQ(Token(spec), "failed to fetch token: serviceaccounts \"nobody\" not found");
}

TEST_F(Tokens, AClockThatIsSetBackOrWrongMakesNoTokenLookYoung) {
  store_.set_skew(-hours(3));  // by our clock it has expired before it came
  EXPECT_EQ(Token(), "1");
  EXPECT_EQ(Token(), "1");
  clock.StepWall(-hours(2));
  RunFor(minutes(48));
  EXPECT_EQ(Told(), Words{"u1"});
  EXPECT_EQ(Token(), "2");
}

TEST_F(Tokens, AMachineThatSleptAsksAgain) {
  EXPECT_EQ(Token(), "1");
  clock.StepWall(hours(2));  // timers stood still meanwhile
  RunFor(seconds(61));
  EXPECT_EQ(Told(), Words{"u1"});
  EXPECT_EQ(Token(), "2");
}

TEST_F(Tokens, TheyGoWithTheirPod) {
  EXPECT_EQ(Token(), "1");
  Unregister("u1");
  RunFor(hours(1));
  EXPECT_EQ(Told(), Words());
  EXPECT_EQ(Token(), "2");
}

TEST_F(Tokens, TheyAreBoundToThePod) {
  Token(Spec("vault", 600));
  const auto& asked = server_.asked.spec();
  EXPECT_EQ(asked.audiences(0), "vault");
  EXPECT_EQ(asked.expirationseconds(), 600);
  EXPECT_EQ(asked.boundobjectref().kind(), "Pod");
  EXPECT_EQ(asked.boundobjectref().apiversion(), "v1");
  EXPECT_EQ(asked.boundobjectref().name(), "web");
  EXPECT_EQ(asked.boundobjectref().uid(), "u1");
  Token(Spec());
  EXPECT_EQ(server_.asked.spec().audiences_size(), 0) << "the server's own";
}

}  // namespace
}  // namespace keelson::kubelet
