// SPDX-License-Identifier: Apache-2.0
#include "base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "test/unit/base/fixture.h"

namespace keelson::base {
namespace {

mode_t ModeOf(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
  return st.st_mode & 07777;
}
void Touch(const std::string& path, std::string_view text = "") {
  ASSERT_TRUE(WriteFileAtomic(path, text, 0600, false).ok()) << path;
}

TEST(ReadFile, StopsAtItsLimit) {
  TempDir dir;
  Touch(dir / "f", "12345");
  EXPECT_EQ(*ReadFile(dir / "f"), "12345");
  EXPECT_EQ(*ReadFile(dir / "f", 5), "12345");
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(dir / "f", 4).status()));
  EXPECT_TRUE(absl::IsNotFound(ReadFile(dir / "g").status()));
  EXPECT_NE(Message(ReadFile(dir / "g").status()).find("/g"), std::string_view::npos);
  EXPECT_FALSE(ReadFile(dir.path()).ok()) << "a directory";
}

TEST(WriteFileAtomic, ReplacesContentAndModeAndLeavesNothingBehind) {
  TempDir dir;
  ::umask(0077);
  ASSERT_TRUE(WriteFileAtomic(dir / "f", "one", 0644).ok());
  ASSERT_TRUE(WriteFileAtomic(dir / "f", "two", 0666).ok());
  ::umask(0022);
  EXPECT_EQ(*ReadFile(dir / "f"), "two");
  EXPECT_EQ(ModeOf(dir / "f"), 0666u);
  EXPECT_EQ(*ListDir(dir.path()), std::vector<std::string>{"f"});
}

TEST(WriteFileAtomic, AFailureKeepsTheOldContent) {
  TempDir dir;
  ASSERT_TRUE(MakeDirs(dir / "d/inside", 0700).ok());
  EXPECT_FALSE(WriteFileAtomic(dir / "d", "x", 0600).ok()) << "d is a directory that is not empty";
  EXPECT_EQ(*ListDir(dir.path()), std::vector<std::string>{"d"});
  EXPECT_TRUE(absl::IsNotFound(WriteFileAtomic(dir / "no/f", "x", 0600)));
}

TEST(MakeDirs, AppliesItsModeToNewOnesOnly) {
  TempDir dir;
  ::umask(0077);
  ASSERT_TRUE(MakeDirs(dir / "a", 0700).ok());
  ASSERT_TRUE(MakeDirs(dir / "a/b/c", 0777).ok());
  ::umask(0022);
  EXPECT_EQ(ModeOf(dir / "a"), 0700u);
  EXPECT_EQ(ModeOf(dir / "a/b"), 0777u);
  EXPECT_EQ(ModeOf(dir / "a/b/c"), 0777u);
  EXPECT_TRUE(MakeDirs(dir / "a/b/c", 0700).ok());
  EXPECT_EQ(ModeOf(dir / "a/b/c"), 0777u);
}

TEST(MakeDirs, WhatIsInTheWayIsAnError) {
  TempDir dir;
  Touch(dir / "f");
  EXPECT_FALSE(MakeDirs(dir / "f", 0700).ok());
  EXPECT_FALSE(MakeDirs(dir / "f/d", 0700).ok());
  ASSERT_EQ(::symlink("nowhere", (dir / "dangling").c_str()), 0);
  EXPECT_FALSE(MakeDirs(dir / "dangling", 0700).ok());
  ASSERT_TRUE(MakeDirs(dir / "real", 0700).ok());
  ASSERT_EQ(::symlink("real", (dir / "link").c_str()), 0);
  EXPECT_TRUE(MakeDirs(dir / "link", 0700).ok()) << "a link to a directory is one";
}

TEST(ListDir, IsSortedAndBounded) {
  TempDir dir;
  for (const char* name : {"b", "a", "c"}) Touch(dir / name);
  EXPECT_EQ(*ListDir(dir.path()), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(ListDir(dir.path(), 3)->size(), 3u);
  EXPECT_TRUE(absl::IsResourceExhausted(ListDir(dir.path(), 2).status()));
  EXPECT_TRUE(absl::IsNotFound(ListDir(dir / "no").status()));
}

TEST(JoinPath, HasOneSlash) {
  EXPECT_EQ(JoinPath("/a", "b"), "/a/b");
  EXPECT_EQ(JoinPath("/a/", "/b"), "/a/b");
  EXPECT_EQ(JoinPath("/", "b"), "/b");
}

class OpenTest : public ::testing::Test {
 protected:
  OpenTest() {
    EXPECT_TRUE(MakeDirs(dir / "root/sub", 0700).ok());
    Touch(dir / "secret", "outside");
    Touch(dir / "root/sub/file", "inside");
    Touch(dir / "root/secret", "inside");
    root = *OpenDir(dir / "root");
  }
  // The text behind a name, or the error's code.
  template <typename Open>
  std::string Read(Open open, const std::string& relative) {
    auto fd = open(root.get(), relative, O_RDONLY, 0);
    if (!fd.ok()) return "error";
    return *ReadFd(fd->get(), 100, relative);
  }
  void Link(const std::string& to, const std::string& name) {
    ASSERT_EQ(::symlink(to.c_str(), (dir / ("root/" + name)).c_str()), 0);
  }
  TempDir dir;
  UniqueFd root;
};

TEST_F(OpenTest, BeneathFollowsNoLinkAndNeverLeaves) {
  Link("sub", "link");
  Link("sub/file", "filelink");
  Link(dir / "secret", "absolute");
  EXPECT_EQ(Read(OpenBeneath, "sub/file"), "inside");
  EXPECT_EQ(Read(OpenBeneath, "sub/../sub/file"), "inside");
  for (const char* path : {"link/file", "filelink", "absolute", "../secret", "sub/../../secret"})
    EXPECT_EQ(Read(OpenBeneath, path), "error") << path;
  EXPECT_EQ(Read(OpenBeneath, dir / "secret"), "error");
}

TEST_F(OpenTest, InRootTreatsTheDirectoryAsTheRoot) {
  Link("sub", "link");
  Link("/secret", "absolute");
  Link("../../../../secret", "up");
  Link("/proc/self/root", "magic");
  EXPECT_EQ(Read(OpenInRoot, "link/file"), "inside");
  EXPECT_EQ(Read(OpenInRoot, "absolute"), "inside");
  EXPECT_EQ(Read(OpenInRoot, "up"), "inside");
  EXPECT_EQ(Read(OpenInRoot, "../../secret"), "inside");
  EXPECT_EQ(Read(OpenInRoot, "/secret"), "inside");
  EXPECT_EQ(Read(OpenInRoot, "magic/etc/passwd"), "error");
}

// A container exchanges a directory for a link to the outside as fast as it can.
TEST_F(OpenTest, ARaceNeverLeadsOut) {
  Link("..", "evil");
  const std::string a = dir / "root/sub", b = dir / "root/evil";
  Touch(dir / "file", "outside");
  std::atomic<bool> stop{false};
  std::thread racer([&] {
    while (!stop) ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
  });
  int inside = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string beneath = Read(OpenBeneath, "sub/file"), in_root = Read(OpenInRoot, "sub/file");
    EXPECT_NE(beneath, "outside");
    EXPECT_NE(in_root, "outside");
    inside += beneath == "inside";
  }
  stop = true;
  racer.join();
  EXPECT_GT(inside, 0);
}

TEST(RemoveTree, TakesEverythingAndFollowsNoLink) {
  TempDir dir;
  ASSERT_TRUE(MakeDirs(dir / "keep", 0700).ok());
  Touch(dir / "keep/file");
  ASSERT_TRUE(MakeDirs(dir / "tree/a/b", 0700).ok());
  Touch(dir / "tree/a/b/f");
  ASSERT_EQ(::symlink("../keep", (dir / "tree/link").c_str()), 0);
  ASSERT_EQ(::mkfifo((dir / "tree/fifo").c_str(), 0600), 0);
  EXPECT_TRUE(RemoveTree(dir / "tree").ok());
  EXPECT_FALSE(PathExists(dir / "tree"));
  EXPECT_TRUE(PathExists(dir / "keep/file"));
  EXPECT_TRUE(RemoveTree(dir / "tree").ok()) << "nothing there";
  EXPECT_TRUE(RemoveTree(dir / "no/where").ok());
  ASSERT_EQ(::symlink("keep", (dir / "link").c_str()), 0);
  EXPECT_TRUE(RemoveTree(dir / "link").ok());
  EXPECT_TRUE(PathExists(dir / "keep/file")) << "the link goes, not what it points to";
  EXPECT_TRUE(RemoveTree((dir / "keep") + "/").ok());
  EXPECT_FALSE(PathExists(dir / "keep"));
}

// Any container can make directories as deep as it likes; we have few descriptors and a small stack.
TEST(RemoveTree, DepthCostsNeitherDescriptorsNorStack) {
  TempDir dir("/dev/shm");  // each level costs a disk some milliseconds
  std::string path = dir / "deep";
  UniqueFd at(::open(dir.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 20'000; ++i) {
    const char* name = i == 0 ? "deep" : ".removing-0";  // a name we use ourselves
    ASSERT_EQ(::mkdirat(at.get(), name, 0700), 0);
    UniqueFd next(::openat(at.get(), name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(next.ok());
    at = std::move(next);
  }
  struct rlimit old {}, few {};
  ::getrlimit(RLIMIT_NOFILE, &old);
  few = old;
  few.rlim_cur = 100;
  ::setrlimit(RLIMIT_NOFILE, &few);
  absl::Status status = RemoveTree(path);
  ::setrlimit(RLIMIT_NOFILE, &old);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_FALSE(PathExists(path));
}

// Runs `body` as a child in a mount namespace of its own; its exit code.
int InMountNamespace(const std::function<int()>& body) {
  pid_t pid = ::fork();
  if (pid == 0) {
    if (::unshare(CLONE_NEWNS) < 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
      ::_exit(77);
    ::_exit(body());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

class RemoveTreeMount : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount";
    ASSERT_TRUE(MakeDirs(dir / "tree/a/mnt", 0700).ok());
    ASSERT_TRUE(MakeDirs(dir / "other", 0700).ok());
    Touch(dir / "other/data");
    Touch(dir / "tree/a/own");
  }
  TempDir dir;
};

TEST_F(RemoveTreeMount, StopsAtAnotherFileSystem) {
  EXPECT_EQ(0, InMountNamespace([&] {
              if (::mount("tmpfs", (dir / "tree/a/mnt").c_str(), "tmpfs", 0, nullptr) < 0) return 1;
              Touch(dir / "tree/a/mnt/data");
              absl::Status status = RemoveTree(dir / "tree");
              if (!absl::IsFailedPrecondition(status)) return 2;
              if (Message(status).find("tree/a/mnt") == std::string_view::npos) return 3;
              if (!PathExists(dir / "tree/a/mnt/data")) return 4;
              return PathExists(dir / "tree/a/own") ? 5 : 0;  // the rest has gone
            }));
}

TEST_F(RemoveTreeMount, StopsAtABindMountOfTheSameFileSystem) {
  EXPECT_EQ(0, InMountNamespace([&] {
              if (::mount((dir / "other").c_str(), (dir / "tree/a/mnt").c_str(), nullptr, MS_BIND,
                          nullptr) < 0)
                return 1;
              if (!absl::IsFailedPrecondition(RemoveTree(dir / "tree"))) return 2;
              return PathExists(dir / "other/data") ? 0 : 3;
            }));
}

TEST_F(RemoveTreeMount, StopsAtAFileThatIsAMount) {
  EXPECT_EQ(0, InMountNamespace([&] {
              if (::mount((dir / "other/data").c_str(), (dir / "tree/a/own").c_str(), nullptr,
                          MS_BIND, nullptr) < 0)
                return 1;
              if (!absl::IsFailedPrecondition(RemoveTree(dir / "tree"))) return 2;
              return PathExists(dir / "tree/a/own") ? 0 : 3;
            }));
}

TEST_F(RemoveTreeMount, StopsAtAMountThatIsTheTree) {
  EXPECT_EQ(0, InMountNamespace([&] {
              if (::mount("tmpfs", (dir / "tree").c_str(), "tmpfs", 0, nullptr) < 0) return 1;
              Touch(dir / "tree/data");
              if (!absl::IsFailedPrecondition(RemoveTree(dir / "tree"))) return 2;
              return PathExists(dir / "tree/data") ? 0 : 3;
            }));
}

}  // namespace
}  // namespace keelson::base
