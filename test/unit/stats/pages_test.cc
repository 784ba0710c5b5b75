// SPDX-License-Identifier: Apache-2.0
// Pages for people: flagz, statusz, profiles and checkpoints, asked as a server's handler is.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "base/cpu_profiler.h"
#include "kubelet/server/debug_endpoints.h"
#include "kubelet/stats/profile.h"
#include "proto/pprof/profile.pb.h"

namespace keelson::kubelet {
namespace {

using ::testing::HasSubstr;

TEST(Pages, AnAcceptHeaderChoosesTheForm) {
  const struct {
    const char* accept;
    PageForm form;
  } kTable[] = {
      {"", PageForm::kText},
      {"*/*", PageForm::kText},
      {"text/plain", PageForm::kText},
      {"text/html, */*;q=0.8", PageForm::kText},
      {"application/json;v=v1alpha1;g=config.k8s.io;as=Statusz", PageForm::kJson},
      {"application/json; as=Statusz; g=config.k8s.io; v=v1alpha1", PageForm::kJson},
      {"application/json", PageForm::kNone},
      {"application/json;v=v1alpha1;g=config.k8s.io;as=Flagz", PageForm::kNone},
      {"application/json;v=v9;g=config.k8s.io;as=Statusz", PageForm::kNone},
      {"image/png", PageForm::kNone},
  };
  for (const auto& row : kTable) EXPECT_EQ(FormOf(row.accept, "Statusz"), row.form) << row.accept;
}

TEST(Pages, TimesReadAsUpstreams) {
  EXPECT_EQ(Uptime(std::chrono::seconds(16)), "0 hr 00 min 16 sec");
  EXPECT_EQ(Uptime(std::chrono::seconds(3600 * 25 + 61)), "25 hr 01 min 01 sec");
  EXPECT_EQ(UnixDate(base::FromUnixNanos(1'729'112'623'000'000'000)), "Wed Oct 16 21:03:43 UTC 2024");
}

TEST(Profile, StacksBecomeSamplesOfThePprofTool) {
  CpuSamples samples;
  samples.stacks = {{0x1010, 0x1100}, {0x1010, 0x1100}, {0x2010}};
  samples.period = std::chrono::milliseconds(10);
  samples.lasted = std::chrono::seconds(1);
  const std::string bytes = EncodeProfile(
      samples,
      "1000-2000 r-xp 00000400 fe:00 42    /usr/bin/kubelet\n"
      "2000-3000 rw-p 00000000 00:00 0 \n"
      "3000-4000 r-xp 00000000 00:00 0      [vdso]\n");
  pprof::Profile profile;
  ASSERT_TRUE(profile.ParseFromString(bytes));
  EXPECT_EQ(profile.string_table(0), "");
  auto word = [&](int64_t index) { return profile.string_table(static_cast<int>(index)); };
  EXPECT_EQ(word(profile.sample_type(0).type()), "samples");
  EXPECT_EQ(word(profile.sample_type(1).unit()), "nanoseconds");
  ASSERT_EQ(profile.mapping_size(), 2);
  EXPECT_EQ(word(profile.mapping(0).filename()), "/usr/bin/kubelet");
  EXPECT_EQ(profile.mapping(0).file_offset(), 0x400u);
  ASSERT_EQ(profile.sample_size(), 2);
  EXPECT_EQ(profile.sample(0).value(0), 2);
  EXPECT_EQ(profile.sample(0).value(1), 20'000'000);
  const auto& inner = profile.location(static_cast<int>(profile.sample(0).location_id(0)) - 1);
  const auto& outer = profile.location(static_cast<int>(profile.sample(0).location_id(1)) - 1);
  EXPECT_EQ(inner.address(), 0x1010u);
  EXPECT_EQ(outer.address(), 0x10ffu);
  EXPECT_EQ(inner.mapping_id(), 1u);
  EXPECT_EQ(profile.location(2).mapping_id(), 0u);  // in nothing that can be executed
}

// Burns so much CPU time, however busy the machine is.
uint64_t Burn(double seconds) {
  uint64_t x = 1;
  const std::clock_t until = std::clock() + static_cast<std::clock_t>(seconds * CLOCKS_PER_SEC);
  while (std::clock() < until)
    for (int i = 0; i < 1000; ++i) x = x * 6364136223846793005u + 1;
  return x;
}

TEST(Profile, ABusyThreadIsSampled) {
  auto profiler = base::CpuProfiler::Start(std::chrono::milliseconds(1));
  ASSERT_TRUE(profiler.ok()) << profiler.status();
  EXPECT_TRUE(absl::IsFailedPrecondition(
      base::CpuProfiler::Start(std::chrono::milliseconds(1)).status()));  // one at a time
  std::vector<std::vector<uintptr_t>> stacks;
  EXPECT_NE(Burn(0.2), 0u);
  stacks = (*profiler)->Stop();
  profiler->reset();
  EXPECT_GT(stacks.size(), 5u);
  auto again = base::CpuProfiler::Start(std::chrono::milliseconds(10));
  EXPECT_TRUE(again.ok()) << again.status();
}

}  // namespace
}  // namespace keelson::kubelet
