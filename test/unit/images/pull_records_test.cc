// SPDX-License-Identifier: Apache-2.0
// Who may use an image that is here, by policy and by records on disk.
#include "kubelet/pull_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kubelet/pull_record_keeper.h"
#include "proto/k8s/kubelet_config.pb.h"
#include "test/unit/base/fixture.h"
#include "test/unit/cri/stub_runtime.h"

namespace keelson::kubelet {
namespace {

using Access = PullRecords::Access;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kImage[] = "reg.example.com:5000/a/b:1";

config::ImagePullSecret Secret(const std::string& name, const std::string& hash) {
  config::ImagePullSecret secret;
  secret.set_uid("uid-" + name);
  secret.set_namespace_("ns");
  secret.set_name(name);
  secret.set_credentialhash(hash);
  return secret;
}
config::ImagePullCredentials With(const config::ImagePullSecret& secret) {
  config::ImagePullCredentials used;
  *used.add_kubernetessecrets() = secret;
  return used;
}
config::ImagePullCredentials ForAll() {
  config::ImagePullCredentials used;
  used.set_nodepodsaccessible(true);
  return used;
}

TEST(PullPolicyTest, SaysWhoHasToShowCredentials) {
  const struct {
    const char* policy;
    bool pulled_by_us, must;
  } kCases[] = {
      {"NeverVerify", true, false},
      {"NeverVerify", false, false},
      {"NeverVerifyPreloadedImages", true, true},
      {"NeverVerifyPreloadedImages", false, false},
      {"NeverVerifyAllowlistedImages", false, true},
      {"AlwaysVerify", false, true},
  };
  for (const auto& c : kCases)
    EXPECT_EQ(MustVerify({c.policy, {}}, kImage, c.pulled_by_us), c.must)
        << c.policy << c.pulled_by_us;
  const auto listed = [](const char* pattern, const char* image) {
    return !MustVerify({"NeverVerifyAllowlistedImages", {pattern}}, image, true);
  };
  EXPECT_TRUE(listed("reg.example.com:5000/a/b", kImage));
  EXPECT_TRUE(listed("reg.example.com:5000/a/*", kImage));
  EXPECT_FALSE(listed("reg.example.com:5000/a/*", "reg.example.com:5000/ab/c"));
  EXPECT_FALSE(listed("reg.example.com:5000/a", kImage));
  EXPECT_TRUE(listed("busybox", "busybox@sha256:00"));
}

TEST(PullPolicyTest, NamesLoseTagAndDigestOnly) {
  EXPECT_EQ(WithoutTag(kImage), "reg.example.com:5000/a/b");
  EXPECT_EQ(WithoutTag("reg.example.com:5000/a"), "reg.example.com:5000/a");
  EXPECT_EQ(WithoutTag("a:1@sha256:00"), "a");
}

// sha256sum of {"username":"u","password":"p\u003c"}, as Go writes it.
TEST(PullPolicyTest, HashesAreThoseOfUpstreamsRecords) {
  EXPECT_EQ(CredentialHash("u", "p<"),
            "43613dbfa39e0fb6f3063b043db9971ece8a578c595a1818942ae332c4037ec5");
}

class PullRecordsTest : public base::OnVirtualClock {
 protected:
  void Pull(const config::ImagePullCredentials& used) {
    ASSERT_TRUE(records_.Begin(kImage).ok());
    records_.End(kImage, "sha256:1", used);
  }
  base::TempDir dir_;
  PullRecords records_{clock, dir_.path(), {}};
};

TEST_F(PullRecordsTest, WhatWePulledWithASecretIsForItsHolders) {
  EXPECT_EQ(records_.Check(kImage, "sha256:1"), Access::kYes) << "preloaded";
  Pull(With(Secret("a", "h1")));
  EXPECT_EQ(records_.Check(kImage, "sha256:1"), Access::kByCredentials);
  EXPECT_FALSE(records_.MayUse(kImage, "sha256:1", {}));
  EXPECT_FALSE(records_.MayUse(kImage, "sha256:1", {Secret("b", "h2")}));
  EXPECT_TRUE(records_.MayUse(kImage, "sha256:1", {Secret("b", "h2"), Secret("c", "h1")}));
  EXPECT_TRUE(records_.MayUse(kImage, "sha256:1", {Secret("a", "h3")})) << "changed since";
  EXPECT_TRUE(records_.MayUse(kImage, "sha256:1", {Secret("d", "h3")})) << "and remembered";
  EXPECT_EQ(records_.Check("other.example.com/x", "sha256:1"), Access::kNo) << "another name";
  Pull(ForAll());
  EXPECT_EQ(records_.Check(kImage, "sha256:1"), Access::kYes);
}

TEST_F(PullRecordsTest, RecordsAreUpstreamsFiles) {
  ASSERT_TRUE(records_.Begin(kImage).ok());
  const auto pulling = base::ListDir(dir_ / "image_manager/pulling").value();
  ASSERT_EQ(pulling.size(), 1u);
  EXPECT_TRUE(pulling[0].starts_with("sha256-"));
  EXPECT_EQ(base::ReadFile(dir_ / ("image_manager/pulling/" + pulling[0])).value(),
            R"({"kind":"ImagePullIntent","apiVersion":"kubelet.config.k8s.io/v1beta1",)"
            R"("image":"reg.example.com:5000/a/b:1"})");
  records_.End(kImage, "sha256:1", With(Secret("a", "h1")));
  EXPECT_THAT(base::ListDir(dir_ / "image_manager/pulling").value(), IsEmpty());
  const auto pulled = base::ListDir(dir_ / "image_manager/pulled").value();
  ASSERT_EQ(pulled.size(), 1u);
  EXPECT_THAT(base::ReadFile(dir_ / ("image_manager/pulled/" + pulled[0])).value(),
              HasSubstr(R"("credentialMapping":{"reg.example.com:5000/a/b":{"kubernetesSecrets":[)"
                        R"({"uid":"uid-a","namespace":"ns","name":"a","credentialHash":"h1"}]}})"));
  PullRecords next(clock, dir_.path(), {});
  EXPECT_EQ(next.Check(kImage, "sha256:1"), Access::kByCredentials) << "after a restart";
}

TEST_F(PullRecordsTest, APullThatACrashCutShortIsOursAndForNobody) {
  ASSERT_TRUE(records_.Begin(kImage).ok());
  PullRecords next(clock, dir_.path(), {});
  EXPECT_EQ(next.Check(kImage, "sha256:1"), Access::kNo);
  records_.End(kImage, "", {});
  EXPECT_EQ(next.Check(kImage, "sha256:1"), Access::kYes) << "it failed in good order";
}

TEST_F(PullRecordsTest, APullThatFailsDoesNotMakeForAllWhatACrashLeft) {
  ASSERT_TRUE(records_.Begin(kImage).ok());
  PullRecords next(clock, dir_.path(), {});
  ASSERT_TRUE(next.Begin(kImage).ok());
  next.End(kImage, "", {});
  EXPECT_EQ(next.Check(kImage, "sha256:1"), Access::kNo);
  ASSERT_TRUE(next.Begin(kImage).ok());
  next.End(kImage, "sha256:1", With(Secret("a", "h1")));
  EXPECT_EQ(next.Check(kImage, "sha256:1"), Access::kByCredentials);
  EXPECT_THAT(base::ListDir(dir_ / "image_manager/pulling").value(), IsEmpty());
}

TEST_F(PullRecordsTest, WhatACrashLeftIsRecordedOnceItIsSeenHere) {
  ASSERT_TRUE(records_.Begin(kImage).ok());
  ASSERT_TRUE(records_.Begin("reg.example.com/gone:1").ok());
  PullRecords next(clock, dir_.path(), {});
  next.Recover({{kImage, "sha256:1"}, {"reg.example.com/preloaded:1", "sha256:2"}});
  EXPECT_EQ(next.Check(kImage, "sha256:1"), Access::kNo);
  EXPECT_EQ(next.Check("reg.example.com/preloaded:1", "sha256:2"), Access::kYes);
  EXPECT_EQ(base::ListDir(dir_ / "image_manager/pulling").value().size(), 1u);
  EXPECT_EQ(base::ListDir(dir_ / "image_manager/pulled").value().size(), 1u);
}

TEST_F(PullRecordsTest, RecordsOfImagesThatAreGoneGoToo) {
  Pull(With(Secret("a", "h1")));
  const base::WallTime pulled = clock.Now();
  records_.Prune({}, pulled);
  EXPECT_EQ(records_.Check(kImage, "sha256:1"), Access::kByCredentials) << "pulled meanwhile";
  records_.Prune({"sha256:1"}, pulled + std::chrono::minutes(5));
  EXPECT_EQ(records_.Check(kImage, "sha256:1"), Access::kByCredentials) << "still here";
  records_.Prune({}, pulled + std::chrono::minutes(5));
  EXPECT_THAT(base::ListDir(dir_ / "image_manager/pulled").value(), IsEmpty());
}

class ImagesHere : public cri::StubRuntime {
 public:
  cri::Reply<cri::rt::ListImagesResponse> ListImages() override {
    cri::rt::ListImagesResponse answer;
    if (here) {
      auto* image = answer.add_images();
      image->set_id("sha256:1");
      image->add_repo_tags(kImage);
    }
    co_return answer;
  }
  bool here = true;
};

TEST_F(PullRecordsTest, RecordsFollowTheRuntimesImages) {
  ImagesHere runtime;
  ASSERT_TRUE(records_.Begin(kImage).ok());
  PullRecords next(clock, dir_.path(), {});
  const auto pulled = [&] {
    return base::ListDir(dir_ / "image_manager/pulled").value_or(std::vector<std::string>()).size();
  };
  base::TaskGroup group(loop);
  group.Spawn("recover", RecoverPullRecords(runtime, next));
  RunReady();
  EXPECT_EQ(pulled(), 1u);
  group.Spawn("prune", PrunePullRecords(loop, runtime, next));
  RunFor(std::chrono::minutes(11));
  EXPECT_EQ(pulled(), 1u);
  runtime.here = false;
  RunFor(std::chrono::minutes(5));
  EXPECT_EQ(pulled(), 0u);
  group.Cancel();
  RunReady();
}

TEST_F(PullRecordsTest, ADamagedRecordLetsNobodyIn) {
  Pull(ForAll());
  const auto pulled = base::ListDir(dir_ / "image_manager/pulled").value();
  ASSERT_TRUE(
      base::WriteFileAtomic(dir_ / ("image_manager/pulled/" + pulled.at(0)), "{", 0600).ok());
  EXPECT_EQ(records_.Check(kImage, "sha256:1"), Access::kNo);
}

}  // namespace
}  // namespace keelson::kubelet
