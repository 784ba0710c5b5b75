// SPDX-License-Identifier: Apache-2.0
// Folders that containers fill: measured whatever is in them.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <string>

#include "base/files.h"
#include "kubelet/stats/collector.h"

namespace keelson::kubelet {
namespace {

class FolderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/klstats.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(dir_).ok()); }
  void Write(const std::string& name, size_t bytes) {
    ASSERT_TRUE(base::WriteFileAtomic(dir_ + "/" + name, std::string(bytes, 'x'), 0644).ok());
  }
  FolderUse Use() {
    auto use = MeasureFolder(dir_);
    EXPECT_TRUE(use.ok()) << use.status();
    return use.ok() ? *use : FolderUse{};
  }
  std::string dir_;
};

TEST_F(FolderTest, FilesCountWhatTheyTakeOnDisk) {
  const FolderUse empty = Use();
  EXPECT_EQ(empty.inodes, 1u);
  Write("a", 100'000);
  ASSERT_EQ(::mkdir((dir_ + "/sub").c_str(), 0755), 0);
  Write("sub/b", 50'000);
  const FolderUse use = Use();
  EXPECT_EQ(use.inodes, 4u);
  EXPECT_GE(use.bytes, empty.bytes + 150'000);
  EXPECT_LT(use.bytes, empty.bytes + 200'000);
}

TEST_F(FolderTest, AFileWithTwoNamesCountsOnce) {
  Write("a", 100'000);
  const FolderUse before = Use();
  ASSERT_EQ(::link((dir_ + "/a").c_str(), (dir_ + "/b").c_str()), 0);
  EXPECT_EQ(Use().bytes, before.bytes);
  EXPECT_EQ(Use().inodes, before.inodes);
}

TEST_F(FolderTest, ALinkIsNotFollowed) {
  ASSERT_EQ(::symlink("/usr", (dir_ + "/away").c_str()), 0);
  EXPECT_EQ(Use().inodes, 2u);
  ASSERT_EQ(::symlink(dir_.c_str(), "/tmp/klstats.link"), 0);
  EXPECT_FALSE(MeasureFolder("/tmp/klstats.link").ok());
  ::unlink("/tmp/klstats.link");
}

TEST_F(FolderTest, TooManyFilesOrLevelsAreNotCounted) {
  for (int i = 0; i < 5; ++i) Write(std::to_string(i), 1);
  EXPECT_TRUE(absl::IsResourceExhausted(MeasureFolder(dir_, 4).status()));
  std::string deep = dir_;
  for (int i = 0; i < 300; ++i) ASSERT_EQ(::mkdir((deep += "/d").c_str(), 0755), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(MeasureFolder(dir_).status()));
}

TEST_F(FolderTest, WhatIsNotThereIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(MeasureFolder(dir_ + "/nope").status()));
}

TEST_F(FolderTest, WhoListensAtASocketIsInAGroup) {
  const std::string path = dir_ + "/s";
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(fd.get(), 1), 0);
  auto own = base::ReadFile("/proc/self/cgroup");
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(GroupOfListener("/proc", path), cgroups::GroupOfProcess(*own));
  EXPECT_EQ(GroupOfListener("/proc", dir_ + "/nope"), "");
  EXPECT_EQ(GroupOfListener("/proc", std::string(200, 'x')), "");
}

TEST(VolumeFolders, AreThoseTheKubeletMade) {
  k8s::v1::Pod pod;
  pod.mutable_metadata()->set_uid("u1");
  auto add = [&](const char* name) {
    auto* volume = pod.mutable_spec()->add_volumes();
    volume->set_name(name);
    return volume->mutable_volumesource();
  };
  add("scratch")->mutable_emptydir();
  add("ram")->mutable_emptydir()->set_medium("Memory");
  add("settings")->mutable_configmap();
  add("host")->mutable_hostpath()->set_path("/usr");
  const auto folders = VolumeFolders(pod, "/root");
  ASSERT_EQ(folders.size(), 3u);
  EXPECT_EQ(folders[0].path, "/root/pods/u1/volumes/kubernetes.io~empty-dir/scratch");
  EXPECT_TRUE(folders[0].ephemeral);
  EXPECT_FALSE(folders[1].ephemeral);  // memory is not a disk
  EXPECT_EQ(folders[2].path, "/root/pods/u1/volumes/kubernetes.io~configmap/settings");
  EXPECT_TRUE(folders[2].ephemeral);
}

}  // namespace
}  // namespace keelson::kubelet
