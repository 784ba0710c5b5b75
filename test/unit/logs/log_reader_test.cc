// SPDX-License-Identifier: Apache-2.0
// Real files and inotify; the loop is stepped by waiting for what must come.
#include "kubelet/logs/log_reader.h"

#include "kubelet/logs/log_watches.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "test/unit/logs/temp_dir.h"

namespace keelson::kubelet {
namespace {

using base::Task;
namespace fs = std::filesystem;

std::string Line(const std::string& text) { return "2026-01-01T00:00:00Z stdout F " + text + "\n"; }

class LogReaderTest : public ::testing::Test {
 protected:
  LogReaderTest() : watches_(loop_), tasks_(loop_) {
    fs::create_directories(dir_.At("pod/web"));
    request_.root = dir_.path();
    request_.path = dir_.At("pod/web/0.log");
  }
  ~LogReaderTest() override {
    base::TaskGroup closing(loop_);
    closing.Spawn("close", CloseAll());
    loop_.io().restart();
    while (closing.size() > 0) loop_.io().run_one();
  }

  void Write(const std::string& text) { AppendFile(request_.path, text); }
  // As rotation does it: rename, then the runtime makes a new file.
  void RotateTo(const std::string& suffix) {
    fs::rename(request_.path, request_.path + suffix);
    Write("");
  }
  void Start() { tasks_.Spawn("reader", Read()); }
  void EndContainer() { ended_.Set(true); }
  // Runs the loop until the reader has returned.
  absl::Status Finish() {
    loop_.io().restart();
    while (!status_) loop_.io().run_one();
    return *status_;
  }
  absl::Status ReadAll() {
    Start();
    return Finish();
  }
  void WaitForOutput(size_t bytes) {
    loop_.io().restart();
    while (out_.size() < bytes && !status_) loop_.io().run_one();
  }

  base::Loop loop_;
  TempDir dir_;
  LogWatches watches_;
  LogRequest request_;
  std::string out_;
  std::optional<absl::Status> status_;
  base::OneShot<bool> ended_;
  base::TaskGroup tasks_;

 private:
  Task<void> CloseAll() {
    co_await tasks_.CancelAndJoin();
    co_await watches_.Close();
  }
  Task<void> Read() {
    LogSink sink = [this](std::string text) { return Take(std::move(text)); };
    LogEnd end = [this] { return WaitEnd(); };
    status_ = co_await StreamLog(loop_, watches_, request_, std::move(sink), std::move(end));
  }
  Task<absl::Status> Take(std::string text) {
    out_ += text;
    co_return absl::OkStatus();
  }
  Task<void> WaitEnd() { co_await ended_.Wait(); }
};

TEST_F(LogReaderTest, WholeLogIsRead) {
  Write(Line("one") + Line("two"));
  ASSERT_TRUE(ReadAll().ok());
  EXPECT_EQ(out_, "one\ntwo\n");
}

TEST_F(LogReaderTest, TailTakesLinesFromTheEnd) {
  Write(Line("one") + Line("two") + Line("three"));
  request_.tail_lines = 2;
  ASSERT_TRUE(ReadAll().ok());
  EXPECT_EQ(out_, "two\nthree\n");
}

TEST_F(LogReaderTest, TailOfNothingAndOfMoreThanThereIs) {
  Write(Line("one"));
  request_.tail_lines = 0;
  ASSERT_TRUE(ReadAll().ok());
  EXPECT_EQ(out_, "");
  status_.reset();
  request_.tail_lines = 99;
  ASSERT_TRUE(ReadAll().ok());
  EXPECT_EQ(out_, "one\n");
}

TEST_F(LogReaderTest, TailFindsLinesAcrossBlocks) {
  std::string wanted;
  for (int i = 0; i < 3; ++i) wanted += std::string(200'000, 'a' + i) + "\n";
  Write(Line("first") + Line(std::string(200'000, 'a')) + Line(std::string(200'000, 'b')) +
        Line(std::string(200'000, 'c')));
  request_.tail_lines = 3;
  ASSERT_TRUE(ReadAll().ok());
  EXPECT_EQ(out_, wanted);
}

TEST_F(LogReaderTest, LimitCutsInsideALine) {
  Write(Line("12345") + Line("67890"));
  request_.limit_bytes = 8;
  ASSERT_TRUE(ReadAll().ok());
  EXPECT_EQ(out_, "12345\n67");
}

TEST_F(LogReaderTest, LimitEndsFollowing) {
  Write(Line("12345"));
  request_.limit_bytes = 3;
  request_.follow = true;
  ASSERT_TRUE(ReadAll().ok());
  EXPECT_EQ(out_, "123");
}

TEST_F(LogReaderTest, FollowerSeesLinesAsTheyComeAndEndsWithTheContainer) {
  Write(Line("one"));
  request_.follow = true;
  Start();
  WaitForOutput(4);
  Write(Line("two"));
  WaitForOutput(8);
  EXPECT_EQ(out_, "one\ntwo\n");
  Write(Line("last words"));
  EndContainer();
  ASSERT_TRUE(Finish().ok());
  EXPECT_EQ(out_, "one\ntwo\nlast words\n");
}

TEST_F(LogReaderTest, FollowerOfAnEndedContainerReadsAllAndEnds) {
  Write(Line("one"));
  request_.follow = true;
  EndContainer();
  ASSERT_TRUE(ReadAll().ok());
  EXPECT_EQ(out_, "one\n");
}

TEST_F(LogReaderTest, RotationLosesAndRepeatsNothing) {
  std::string wanted;
  request_.follow = true;
  Write("");
  Start();
  for (int turn = 0; turn < 20; ++turn) {
    for (int i = 0; i < 100; ++i) {
      const std::string text = "line " + std::to_string(turn) + "." + std::to_string(i);
      wanted += text + "\n";
      Write(Line(text));
    }
    if (turn % 3 == 0) WaitForOutput(wanted.size());
    RotateTo(".20260101-0000" + std::to_string(10 + turn));
  }
  EndContainer();
  ASSERT_TRUE(Finish().ok());
  EXPECT_EQ(out_, wanted);
}

TEST_F(LogReaderTest, WhatALateWriterAddsToTheRotatedFileIsRead) {
  request_.follow = true;
  Write(Line("one"));
  Start();
  WaitForOutput(4);
  RotateTo(".20260101-000000");
  Write(Line("new"));
  WaitForOutput(8);
  AppendFile(request_.path + ".20260101-000000", Line("late"));
  WaitForOutput(13);
  EXPECT_EQ(out_, "one\nnew\nlate\n");
}

TEST_F(LogReaderTest, PartialLineGoesOnInTheNextFile) {
  request_.follow = true;
  request_.filter.timestamps = true;
  Write("2026-01-01T00:00:00Z stdout P be");
  Write("fore \n");
  Start();
  WaitForOutput(31 + 7);
  RotateTo(".20260101-000000");
  Write(Line("after"));
  EndContainer();
  ASSERT_TRUE(Finish().ok());
  EXPECT_EQ(out_, "2026-01-01T00:00:00.000000000Z before after\n");
}

TEST_F(LogReaderTest, EmptiedFileIsReadFromItsStart) {
  request_.follow = true;
  Write(Line("a long first line"));
  Start();
  WaitForOutput(18);
  fs::resize_file(request_.path, 0);
  Write(Line("x"));
  WaitForOutput(20);
  EXPECT_EQ(out_, "a long first line\nx\n");
}

TEST_F(LogReaderTest, CancelledFollowerGoesAway) {
  request_.follow = true;
  Write(Line("one"));
  Start();
  WaitForOutput(4);
  tasks_.Cancel();
  loop_.io().restart();
  while (tasks_.size() > 0) loop_.io().run_one();
  EXPECT_FALSE(status_.has_value());
}

TEST_F(LogReaderTest, MissingLogIsNotFound) { EXPECT_TRUE(absl::IsNotFound(ReadAll())); }

TEST_F(LogReaderTest, SymlinksAreNotFollowed) {
  AppendFile(dir_.At("secret"), Line("root's own"));
  fs::create_symlink(dir_.At("secret"), request_.path);
  EXPECT_FALSE(ReadAll().ok());
  status_.reset();
  fs::create_directory_symlink(dir_.At("pod"), dir_.At("other"));
  request_.path = dir_.At("other/web/0.log");
  EXPECT_FALSE(ReadAll().ok());
  EXPECT_EQ(out_, "");
}

TEST_F(LogReaderTest, PathsOutsideTheRootAreRefused) {
  request_.path = dir_.At("pod/../../etc/passwd");
  EXPECT_FALSE(ReadAll().ok());
  status_.reset();
  request_.path = "/etc/passwd";
  EXPECT_TRUE(absl::IsInvalidArgument(ReadAll()));
}

TEST_F(LogReaderTest, FifoDoesNotHoldTheReader) {
  ASSERT_EQ(::mkfifo(request_.path.c_str(), 0600), 0);
  EXPECT_TRUE(absl::IsInvalidArgument(ReadAll()));
}

}  // namespace
}  // namespace keelson::kubelet
