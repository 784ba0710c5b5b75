// SPDX-License-Identifier: Apache-2.0
// With which credentials a pod's image is pulled: its secrets, the node's files, plugins.
#include "kubelet/node_images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cri/error.h"
#include "kubelet/cluster/api_objects.h"
#include "kubelet/cluster/service_accounts.h"
#include "proto/codec/text.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/pod.pb.h"
#include "test/apiserver/fake_api_server.h"
#include "test/unit/base/fixture.h"
#include "test/unit/cri/stub_runtime.h"

namespace keelson::kubelet {
namespace {

using base::StrCat;
using base::Task;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A registry that lets one user in.
class Registry : public cri::StubRuntime {
 public:
  cri::Reply<cri::rt::ImageStatusResponse> ImageStatus(cri::rt::ImageSpec image) override {
    cri::rt::ImageStatusResponse answer;
    if (blind) co_return cri::CallError(absl::StatusCode::kUnavailable, "ImageStatus", "busy");
    if (here) answer.mutable_image()->set_id("ref-" + image.image());
    co_return answer;
  }
  cri::Reply<std::string> PullImage(cri::rt::ImageSpec image, cri::rt::AuthConfig auth,
                               cri::rt::PodSandboxConfig) override {
    tried.push_back(auth.username());
    if (auth.username() != allowed)
      co_return cri::CallError(absl::StatusCode::kUnknown, "PullImage", "denied");
    here = true;
    co_return "ref-" + image.image();
  }
  std::vector<std::string> tried;
  std::string allowed;
  bool here = false;  // the image
  bool blind = false;  // cannot say what is here
};

class Events : public EventRecorder {
 public:
  void PodEvent(const v1::Pod&, EventType type, std::string_view reason, std::string message,
                std::string) override {
    if (reason == "FailedToRetrieveImagePullSecret")
      told.push_back(StrCat(type == EventType::kWarning ? "Warning " : "", message));
  }
  void NodeEvent(EventType, std::string_view, std::string) override {}
  std::vector<std::string> told;
};

class NodeImagesTest : public base::OnVirtualClock {
 protected:
  NodeImagesTest() { images_.set_objects(&objects_); }
  ~NodeImagesTest() override {
    base::TaskGroup group(loop);
    group.Spawn("close", objects_.Close());
    RunReady();
  }

  static std::string Config(const std::string& user) {
    return StrCat(R"({"auths":{"reg.example.com":{"auth":")",
                  proto::EncodeBase64(StrCat(user, ":pw")), "\"}}}");
  }
  void PutSecret(const std::string& name, const std::string& type, const std::string& key,
                 const std::string& text) {
    k8s::v1::Secret secret;
    secret.mutable_metadata()->set_namespace_("shop");
    secret.mutable_metadata()->set_name(name);
    secret.set_type(type);
    (*secret.mutable_data())[key] = text;
    store_.Put(secret);
  }
  void PutSecret(const std::string& name, const std::string& user) {
    PutSecret(name, "kubernetes.io/dockerconfigjson", ".dockerconfigjson", Config(user));
  }
  // Pulls for a pod with these secrets; the users tried.
  std::vector<std::string> Pull(std::vector<std::string> secrets,
                                const std::string& policy = "Always") {
    auto pod = std::make_shared<v1::Pod>();
    pod->mutable_metadata()->set_uid("u1");
    pod->mutable_metadata()->set_name("web");
    pod->mutable_metadata()->set_namespace_("shop");
    pod->mutable_spec()->set_serviceaccountname("sa");
    csi::References references;
    for (const auto& name : secrets) {
      pod->mutable_spec()->add_imagepullsecrets()->set_name(name);
      references.secrets.insert(name);
    }
    objects_.Register(pod, references, [] {});
    registry_.tried.clear();
    ImageRequest request;
    request.pod = pod;
    request.container = "web";
    request.image = "reg.example.com/team/app:1";
    request.policy = policy;
    base::TaskGroup group(loop);
    group.Spawn("pull", Ask(request));
    RunFor(seconds(5));
    objects_.Unregister("u1");
    return registry_.tried;
  }
  Task<void> Ask(ImageRequest request) {
    ImageAnswer answer = co_await images_.Ensure(std::move(request));
    ok_ = answer.image.has_value();
  }

  base::TempDir dir_;
  apiserver::ObjectStore store_{clock};
  apiserver::FakeApiServer api_{loop, store_};
  ApiObjects objects_{loop, api_};
  Registry registry_;
  Events events_;
  cri::NodeKeyring::Places places_{{dir_.path()}, {}};
  NodeImages images_{loop, registry_, events_, {}, places_};
  bool ok_ = false;
};

TEST_F(NodeImagesTest, SecretsComeBeforeTheNodesFiles) {
  ASSERT_TRUE(base::WriteFileAtomic(dir_ / "config.json", Config("node"), 0600).ok());
  PutSecret("one", "first");
  PutSecret("two", "kubernetes.io/dockercfg", ".dockercfg",
            R"({"https://reg.example.com":{"username":"second","password":"pw"}})");
  PutSecret("other", "Opaque", "x", "y");
  registry_.allowed = "node";
  EXPECT_THAT(Pull({"one", "other", "two"}), ElementsAre("first", "second", "node"));
  EXPECT_TRUE(ok_);
  registry_.allowed = "first";
  EXPECT_THAT(Pull({"one", "two"}), ElementsAre("first"));
  EXPECT_THAT(events_.told, IsEmpty());
}

TEST_F(NodeImagesTest, AnImageThatCannotBeSeenAfterItsPullIsStillNobodyElses) {
  PullRecords records(clock, dir_.path(), {});
  images_.set_records(&records);
  PutSecret("one", "first");
  registry_.allowed = "first";
  registry_.blind = true;
  EXPECT_THAT(Pull({"one"}), ElementsAre("first"));
  EXPECT_FALSE(ok_);
  registry_.blind = false;
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Pull({}, "IfNotPresent"), ElementsAre("")) << "as nobody";
    EXPECT_FALSE(ok_);
  }
  EXPECT_THAT(Pull({"one"}, "IfNotPresent"), ElementsAre("first"));
  EXPECT_TRUE(ok_);
}

TEST_F(NodeImagesTest, OnlyAPullTellsThatTheNodeHasAnotherImage) {
  int told = 0;
  images_.OnPulled([&](const v1::Pod& pod, const cri::PulledImage& image) {
    ++told;
    EXPECT_EQ(pod.metadata().uid(), "u1");
    EXPECT_EQ(image.ref, "ref-reg.example.com/team/app:1");
  });
  registry_.allowed = "nobody we know";
  Pull({}, "IfNotPresent");
  EXPECT_EQ(told, 0);
  registry_.allowed = "";
  Pull({}, "IfNotPresent");
  EXPECT_EQ(told, 1);
  Pull({}, "IfNotPresent");
  EXPECT_EQ(told, 1) << "it is here";
}

TEST_F(NodeImagesTest, AMissingSecretIsToldAndThePullTriedAllTheSame) {
  EXPECT_THAT(Pull({"gone", "lost"}), ElementsAre("")) << "as nobody";
  EXPECT_TRUE(ok_);
  EXPECT_THAT(events_.told,
              ElementsAre("Warning Unable to retrieve some image pull secrets (gone, lost); "
                          "attempting to pull the image may not succeed."));
}

TEST_F(NodeImagesTest, ABrokenSecretFailsThePullWithoutBeingQuoted) {
  PutSecret("one", "kubernetes.io/dockerconfigjson", ".dockerconfigjson", "{secret!");
  EXPECT_THAT(Pull({"one"}), IsEmpty());
  EXPECT_FALSE(ok_);
}

TEST_F(NodeImagesTest, APrivateImageIsNotForPodsWithoutItsCredentials) {
  PullRecords records(clock, dir_.path(), {});
  images_.set_records(&records);
  PutSecret("one", "good");
  PutSecret("copy", "good");
  PutSecret("other", "bad");
  registry_.allowed = "good";
  EXPECT_THAT(Pull({"one"}, "IfNotPresent"), ElementsAre("good"));
  EXPECT_TRUE(ok_);
  EXPECT_THAT(Pull({"one"}, "IfNotPresent"), IsEmpty()) << "it is here, and the pod's";
  EXPECT_TRUE(ok_);
  EXPECT_THAT(Pull({"copy"}, "Never"), IsEmpty());
  EXPECT_TRUE(ok_) << "the same credentials in another secret";
  EXPECT_THAT(Pull({"other"}, "IfNotPresent"), ElementsAre("bad"));
  EXPECT_FALSE(ok_);
  EXPECT_THAT(Pull({}, "IfNotPresent"), ElementsAre(""));
  EXPECT_FALSE(ok_);
  EXPECT_THAT(Pull({}, "Never"), IsEmpty());
  EXPECT_FALSE(ok_) << "as if it were not here";
  EXPECT_THAT(base::ListDir(dir_ / "image_manager/pulling").value(), IsEmpty());
}

TEST_F(NodeImagesTest, AnImageWithoutCredentialsIsForAll) {
  PullRecords records(clock, dir_.path(), {});
  images_.set_records(&records);
  EXPECT_THAT(Pull({}, "IfNotPresent"), ElementsAre(""));
  EXPECT_THAT(Pull({}, "IfNotPresent"), IsEmpty());
  EXPECT_TRUE(ok_);
}

TEST_F(NodeImagesTest, AnImageThatWasHereBeforeUsIsForAll) {
  PullRecords records(clock, dir_.path(), {});
  images_.set_records(&records);
  registry_.here = true;
  registry_.allowed = "nobody";
  EXPECT_THAT(Pull({}, "IfNotPresent"), IsEmpty());
  EXPECT_TRUE(ok_);
}

TEST_F(NodeImagesTest, PluginsMayAskForAServiceAccount) {
  k8s::v1::ServiceAccount account;
  account.mutable_metadata()->set_namespace_("shop");
  account.mutable_metadata()->set_name("sa");
  (*account.mutable_metadata()->mutable_annotations())["example.com/id"] = "7";
  const auto stored = store_.Put(account);
  ApiServiceAccounts accounts(api_, objects_);
  std::optional<absl::StatusOr<cri::ServiceAccountSource::Account>> found, missing;
  std::optional<absl::StatusOr<std::string>> token;
  base::TaskGroup group(loop);
  group.Spawn("find", base::internal::StoreResult(accounts.Find("shop", "sa"), &found));
  group.Spawn("miss", base::internal::StoreResult(accounts.Find("shop", "xx"), &missing));
  group.Spawn("token", base::internal::StoreResult(
                           accounts.Token({"shop", "web", "u1", "sa"}, "reg"), &token));
  RunFor(seconds(1));
  ASSERT_TRUE(found->ok()) << found->status();
  EXPECT_EQ((*found)->annotations.at("example.com/id"), "7");
  EXPECT_FALSE((*found)->uid.empty());
  EXPECT_TRUE(client::IsNotFound(missing->status()));
  ASSERT_TRUE(token->ok()) << token->status();
  EXPECT_EQ(token->value(), "token-shop-sa-1");
}

}  // namespace
}  // namespace keelson::kubelet
