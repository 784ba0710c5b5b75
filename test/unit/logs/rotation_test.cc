// SPDX-License-Identifier: Apache-2.0
#include "kubelet/logs/rotation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <filesystem>

#include "kubelet/logs/log_rotator.h"
#include "test/unit/logs/temp_dir.h"

namespace keelson::kubelet {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
namespace fs = std::filesystem;

TEST(RotationPlan, FirstRotationOnlyRenames) {
  const RotationPlan plan = PlanRotation("0.log", {"0.log"}, 5, "S");
  EXPECT_THAT(plan.remove, IsEmpty());
  EXPECT_THAT(plan.compress, IsEmpty());
  EXPECT_EQ(plan.rotated, "0.log.S");
}

TEST(RotationPlan, TheLastRotatedIsCompressed) {
  const RotationPlan plan = PlanRotation("0.log", {"0.log", "0.log.1.gz", "0.log.2"}, 5, "S");
  EXPECT_THAT(plan.remove, IsEmpty());
  EXPECT_THAT(plan.compress, ElementsAre("0.log.2"));
}

TEST(RotationPlan, TheOldestGoWhenThereAreTooMany) {
  const RotationPlan plan =
      PlanRotation("0.log", {"0.log", "0.log.4", "0.log.3.gz", "0.log.1.gz", "0.log.2.gz"}, 5, "S");
  EXPECT_THAT(plan.remove, ElementsAre("0.log.1.gz"));
  EXPECT_THAT(plan.compress, ElementsAre("0.log.4"));
}

TEST(RotationPlan, LeftoversOfABrokenRotationGo) {
  const RotationPlan plan =
      PlanRotation("0.log", {"0.log", "0.log.1", "0.log.1.gz", "0.log.2", "0.log.2.tmp"}, 5, "S");
  EXPECT_THAT(plan.remove, ElementsAre("0.log.1", "0.log.2.tmp"));
  EXPECT_THAT(plan.compress, ElementsAre("0.log.2"));
}

TEST(RotationPlan, TwoFilesLeaveNoRoomForCompressedOnes) {
  const RotationPlan plan = PlanRotation("0.log", {"0.log", "0.log.1"}, 2, "S");
  EXPECT_THAT(plan.remove, ElementsAre("0.log.1"));
  EXPECT_THAT(plan.compress, IsEmpty());
}

TEST(RotationPlan, OtherInstancesAreNotTouched) {
  const RotationPlan plan =
      PlanRotation("1.log", {"0.log.1", "1.log", "11.log.1", "1.logx"}, 2, "S");
  EXPECT_THAT(plan.remove, IsEmpty());
  EXPECT_THAT(plan.compress, IsEmpty());
}

std::string Unzip(const std::string& path) {
  gzFile in = ::gzopen(path.c_str(), "rb");
  std::string out(1 << 20, '\0');
  const int got = ::gzread(in, out.data(), static_cast<unsigned>(out.size()));
  ::gzclose(in);
  out.resize(std::max(got, 0));
  return out;
}

class RotatorTest : public ::testing::Test {
 protected:
  RotatorTest() : loop_(clock_), tasks_(loop_) { options_.max_size_bytes = 100; }

  std::string log() const { return dir_.At("0.log"); }
  std::vector<std::string> Files() {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_.path()))
      names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  void Fill(char c) { AppendFile(log(), std::string(100, c)); }
  // One interval passes.
  void Turn() {
    if (!rotator_) {
      rotator_.emplace(
          loop_, options_, [this] { return List(); },
          [this](std::string id) { return Reopen(std::move(id)); });
      tasks_.Spawn("rotator", rotator_->Run());
    }
    base::RunFor(loop_, clock_, options_.interval);
  }
  std::string StampNow() { return RotationStamp(clock_.Now()); }

  base::VirtualClock clock_;
  base::Loop loop_;
  TempDir dir_;
  RotatorOptions options_;
  bool running_ = true;
  bool reopen_fails_ = false;
  int reopened_ = 0;
  std::optional<LogRotator> rotator_;
  base::TaskGroup tasks_;

  ~RotatorTest() override {
    tasks_.Cancel();
    loop_.RunReady();
  }

 private:
  std::vector<RunningLog> List() {
    if (!running_) return {};
    return {{"id", log()}};
  }
  base::Task<absl::Status> Reopen(std::string id) {
    ++reopened_;
    EXPECT_EQ(id, "id");
    if (reopen_fails_) co_return absl::UnavailableError("runtime is away");
    AppendFile(log(), "");
    co_return absl::OkStatus();
  }
};

TEST_F(RotatorTest, SmallLogStays) {
  AppendFile(log(), std::string(99, 'a'));
  Turn();
  EXPECT_THAT(Files(), ElementsAre("0.log"));
  EXPECT_EQ(reopened_, 0);
}

TEST_F(RotatorTest, LargeLogIsRenamedAndReopened) {
  Fill('a');
  Turn();
  EXPECT_THAT(Files(), ElementsAre("0.log", "0.log." + StampNow()));
  EXPECT_EQ(ReadWhole(log()), "");
  EXPECT_EQ(reopened_, 1);
}

TEST_F(RotatorTest, OneLiveOnePlainAndTheRestCompressedWithTheirMode) {
  std::vector<std::string> stamps;
  for (char c = 'a'; c < 'h'; ++c) {
    Fill(c);
    ::chmod(log().c_str(), 0640);
    Turn();
    stamps.push_back(StampNow());
  }
  EXPECT_THAT(Files(),
              ElementsAre("0.log", "0.log." + stamps[3] + ".gz", "0.log." + stamps[4] + ".gz",
                          "0.log." + stamps[5] + ".gz", "0.log." + stamps[6]));
  EXPECT_EQ(Unzip(dir_.At("0.log." + stamps[3] + ".gz")), std::string(100, 'd'));
  struct stat info;
  ASSERT_EQ(::stat(dir_.At("0.log." + stamps[3] + ".gz").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

TEST_F(RotatorTest, FailedReopenPutsTheLogBack) {
  Fill('a');
  reopen_fails_ = true;
  Turn();
  EXPECT_THAT(Files(), ElementsAre("0.log"));
  EXPECT_EQ(ReadWhole(log()).size(), 100u);
  reopen_fails_ = false;
  Turn();
  EXPECT_THAT(Files(), ElementsAre("0.log", "0.log." + StampNow()));
}

TEST_F(RotatorTest, MissingLogIsReopened) {
  Turn();
  EXPECT_EQ(reopened_, 1);
  EXPECT_THAT(Files(), ElementsAre("0.log"));
}

TEST_F(RotatorTest, LogsOfEndedContainersAreLeftAlone) {
  Fill('a');
  running_ = false;
  Turn();
  EXPECT_THAT(Files(), ElementsAre("0.log"));
}

TEST_F(RotatorTest, NegativeSizeMeansNoRotation) {
  options_.max_size_bytes = -1;
  Fill('a');
  Turn();
  EXPECT_THAT(Files(), ElementsAre("0.log"));
}

TEST_F(RotatorTest, SymlinkInPlaceOfALogIsNotRotated) {
  AppendFile(dir_.At("target"), std::string(200, 'x'));
  fs::create_symlink(dir_.At("target"), log());
  Turn();
  EXPECT_THAT(Files(), ElementsAre("0.log", "target"));
}

}  // namespace
}  // namespace keelson::kubelet
