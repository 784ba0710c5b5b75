// SPDX-License-Identifier: Apache-2.0
#include "kubelet/stats/pod_starts.h"

#include <gtest/gtest.h>

#include "test/lib/metrics_lint.h"

namespace keelson::kubelet {
namespace {

using std::chrono::seconds;

base::WallTime At(int64_t second) { return base::FromUnixNanos(second * 1'000'000'000); }

TEST(CoveredTest, CountsWhatOverlapsOnce) {
  EXPECT_EQ(Covered({}), base::Nanos{});
  EXPECT_EQ(Covered({{At(10), At(12)}, {At(20), At(21)}}), seconds(3));
  EXPECT_EQ(Covered({{At(20), At(25)}, {At(10), At(22)}, {At(11), At(12)}}), seconds(15));
}

class PodStartsTest : public testing::Test {
 protected:
  PodStartsTest() {
    pod_.mutable_metadata()->mutable_creationtimestamp()->set_seconds(100);
    pod_.mutable_spec()->add_volumes()->mutable_volumesource()->mutable_emptydir();
  }
  void Watch(int64_t second) { starts_.Watched("u", &pod_, At(second)); }
  // As the API server shows it once its node has told.
  void Runs() {
    pod_.mutable_status()->mutable_starttime()->set_seconds(101);
    pod_.mutable_status()->add_containerstatuses()->mutable_state()->mutable_running()
        ->mutable_startedat()->set_seconds(110);
  }
  // Sum of the histogram; -1: nothing was observed.
  double Seen(const std::string& which) {
    std::vector<test::MetricSample> samples;
    EXPECT_TRUE(test::LintMetrics(metrics_.main().Text(), &samples).empty());
    if (test::ValueOf(samples, "kubelet_" + which + "_count") == 0) return -1;
    return test::ValueOf(samples, "kubelet_" + which + "_sum");
  }

  v1::Pod pod_;
  KubeletMetrics metrics_;
  PodStarts starts_{metrics_};
};

constexpr char kTotal[] = "pod_start_total_duration_seconds";
constexpr char kOwn[] = "pod_start_sli_duration_seconds";

TEST_F(PodStartsTest, PullsAndInitContainersAreNotTheNodesOwnTime) {
  Watch(101);
  starts_.Pulled("u", At(106), seconds(4));
  starts_.Pulled("u", At(107), seconds(4));
  auto* ended = pod_.mutable_status()->add_initcontainerstatuses()->mutable_state()
                    ->mutable_terminated();
  ended->mutable_startedat()->set_seconds(107);
  ended->mutable_finishedat()->set_seconds(109);
  Watch(109);
  EXPECT_EQ(Seen(kTotal), -1);
  Runs();
  Watch(112);
  Watch(200);
  EXPECT_EQ(Seen(kTotal), 12);
  EXPECT_EQ(Seen(kOwn), 12 - 5 - 2);
}

TEST_F(PodStartsTest, PodsWithStateCountInTheTotalOnly) {
  pod_.mutable_spec()->add_volumes()->mutable_volumesource()->mutable_hostpath();
  Watch(101);
  Runs();
  Watch(112);
  EXPECT_EQ(Seen(kTotal), 12);
  EXPECT_EQ(Seen(kOwn), -1);
}

TEST_F(PodStartsTest, WhatHadBegunBeforeWeLookedIsNotCounted) {
  Runs();
  Watch(112);
  EXPECT_EQ(Seen(kTotal), -1);
}

TEST_F(PodStartsTest, APodThatFailedIsNotAStart) {
  Watch(101);
  Runs();
  pod_.mutable_status()->set_phase("Failed");
  Watch(112);
  EXPECT_EQ(Seen(kTotal), -1);
}

}  // namespace
}  // namespace keelson::kubelet
