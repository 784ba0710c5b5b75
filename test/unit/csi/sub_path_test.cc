// SPDX-License-Identifier: Apache-2.0
#include "csi/sub_path.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>
#include <thread>

#include "csi/mounts.h"
#include "test/unit/csi/fixture.h"

namespace keelson::csi {
namespace {

// A volume, and beside it what no container may reach.
class SubPath : public InDir {
 protected:
  void SetUp() override {
    InDir::SetUp();
    volume = Dir("volume");
    outside = Dir("outside");
    File("outside/secret", "secret");
  }
  // Where `sub_path` leads: its path below the volume, OUT, or "" when it is refused.
  std::string Leads(const std::string& sub_path) {
    auto fd = OpenSubPath(volume, sub_path);
    if (!fd.ok()) return "";
    return WhereIs(fd->get());
  }
  std::string WhereIs(int fd) {
    char path[4096];
    ssize_t n = ::readlink(base::StrCat("/proc/self/fd/", fd).c_str(), path, sizeof(path));
    if (n < 0) return "?";
    std::string_view where(path, static_cast<size_t>(n));
    if (where == volume) return ".";
    if (!where.starts_with(volume + "/")) return "OUT";
    return std::string(where.substr(volume.size() + 1));
  }

  std::string volume, outside;
};

TEST_F(SubPath, NeverLeadsOutOfItsVolume) {
  File("volume/file");
  Dir("volume/real/deeper");
  Link("volume/link", "real");
  Link("volume/up-and-back", "../volume/real");
  Link("volume/inside", "real/../real/deeper");
  Link("volume/absolute", outside);
  Link("volume/relative", "../outside");
  Link("volume/to-secret", "../outside/secret");
  Link("volume/real/higher", "../../outside");
  Link("volume/absolute-inside", volume + "/real");
  Link("volume/first", "second");
  Link("volume/second", "../outside");
  Link("volume/loop", "loop");
  Link("volume/magic", "/proc/self/root");
  Link("volume/dangling", "nowhere");
  Link("volume/dangling-outside", outside + "/made");
  const std::pair<const char*, const char*> rows[] = {
      {"file", "file"},
      {"real", "real"},
      {"real/", "real"},
      {"./real//deeper/.", "real/deeper"},
      {"link/deeper", "real/deeper"},
      {"inside", "real/deeper"},
      {"real/..", "."},
      {"..", ""},
      {"../outside", ""},
      {"real/../../outside", ""},
      {"missing/../../outside", ""},
      {"/etc", ""},
      {"/", ""},
      {"up-and-back", ""},
      {"absolute", ""},
      {"absolute/secret", ""},
      {"absolute/made", ""},
      {"relative", ""},
      {"relative/made", ""},
      {"to-secret", ""},
      {"real/higher", ""},
      {"real/higher/made", ""},
      {"absolute-inside", ""},
      {"first", ""},
      {"first/made", ""},
      {"loop", ""},
      {"magic", ""},
      {"magic/etc", ""},
      {"dangling", ""},
      {"dangling-outside", ""},
      {"file/below", ""},
  };
  for (const auto& [path, expected] : rows) EXPECT_EQ(Leads(path), expected) << path;
  EXPECT_FALSE(base::PathExists(outside + "/made"));
  EXPECT_FALSE(base::PathExists(volume + "/nowhere"));
}

TEST_F(SubPath, MissingDirectoriesAreMadeWithTheModeAbove) {
  ASSERT_EQ(::chmod(volume.c_str(), 02775), 0);
  const mode_t mask = ::umask(077);
  EXPECT_EQ(Leads("a//b/./c"), "a/b/c");
  ::umask(mask);
  for (const char* name : {"volume/a", "volume/a/b", "volume/a/b/c"}) {
    struct stat st {};
    ASSERT_EQ(::stat((dir / name).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode, S_IFDIR | 02775u) << name;
  }
  EXPECT_FALSE(OpenSubPath(dir / "no-volume", "a").ok());
}

// A container exchanges a directory for a link to the outside as fast as it can. Each answer is a
// descriptor inside or an error, and nothing is ever made outside.
TEST_F(SubPath, ASwapWhileItIsOpenedNeverLeadsOut) {
  Dir("volume/swap");
  Link("volume/trap", outside);
  std::atomic<bool> stop{false};
  std::thread attacker([&] {
    const std::string a = volume + "/swap", b = volume + "/trap";
    while (!stop)
      ::syscall(SYS_renameat2, AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE);
  });
  int inside = 0;
  for (int i = 0; i < 4000; ++i) {
    const std::string where = Leads(base::StrCat("swap/made", i % 50, "/deep"));
    EXPECT_NE(where, "OUT");
    inside += !where.empty();
  }
  stop = true;
  attacker.join();
  auto names = base::ListDir(outside, 100);
  ASSERT_TRUE(names.ok());
  EXPECT_EQ(*names, std::vector<std::string>{"secret"});
  EXPECT_GT(inside, 0);
}

TEST_F(SubPath, WhatIsBoundStaysWhenTheContainerSwapsIt) {
  Dir("volume/real");
  File("volume/real/data", "data");
  auto opened = OpenSubPath(volume, "real");
  ASSERT_TRUE(opened.ok()) << opened.status();
  const std::string target = dir / "binds/c/0";
  ASSERT_TRUE(BindSubPathAt(opened->get(), target).ok());
  EXPECT_EQ(*base::ReadFile(target + "/data"), "data");
  ASSERT_EQ(::rename((dir / "volume/real").c_str(), (dir / "volume/was").c_str()), 0);
  Link("volume/real", outside);
  EXPECT_EQ(*base::ReadFile(target + "/data"), "data");
  EXPECT_FALSE(base::PathExists(target + "/secret"));
  EXPECT_FALSE(OpenSubPath(volume, "real").ok()) << "at the next start it is refused";
}

TEST_F(SubPath, BindingAgainKeepsTheSameAndReplacesAnother) {
  File("volume/one", "1");
  File("volume/two", "2");
  Dir("volume/tree");
  const std::string target = dir / "binds/c/0";
  auto bind = [&](const char* name) {
    auto opened = OpenSubPath(volume, name);
    return opened.ok() ? BindSubPathAt(opened->get(), target) : opened.status();
  };
  auto mounts = [&] {
    auto info = base::ReadFile("/proc/self/mountinfo", 1 << 24);
    return info.ok() ? MountsBelow(*info, dir.path()).size() : 99;
  };
  ASSERT_TRUE(bind("one").ok());
  ASSERT_TRUE(bind("one").ok());
  EXPECT_EQ(mounts(), 1u);
  ASSERT_TRUE(bind("two").ok());
  EXPECT_EQ(*base::ReadFile(target), "2");
  EXPECT_EQ(mounts(), 1u);
  ASSERT_TRUE(bind("tree").ok());
  EXPECT_EQ(mounts(), 1u);
  EXPECT_TRUE(UnmountBelow(dir / "binds").ok());
  EXPECT_EQ(mounts(), 0u);
  EXPECT_EQ(*base::ReadFile(volume + "/two"), "2") << "the volume keeps its data";
}

TEST(MountsBelow, ReadsEscapesAndPutsTheLastMountFirst) {
  constexpr char kInfo[] =
      "20 1 8:1 / / rw - ext4 /dev/a rw\n"
      "21 20 0:5 / /pods/a rw - tmpfs t rw\n"
      "22 20 0:5 / /pods/ab rw - tmpfs t rw\n"
      "23 21 0:6 / /pods/a/with\\040space\\134 rw - tmpfs t rw\n"
      "24 21 0:7 / /pods/a/b rw - tmpfs t rw\n"
      "25 24 0:8 / /pods/a/b rw - tmpfs t rw";
  EXPECT_EQ(MountsBelow(kInfo, "/pods/a"),
            (std::vector<std::string>{"/pods/a/b", "/pods/a/b", "/pods/a/with space\\", "/pods/a"}));
  EXPECT_TRUE(MountsBelow(kInfo, "/pod").empty());
  EXPECT_TRUE(MountsBelow("", "/pods").empty());
  EXPECT_TRUE(MountsBelow("torn", "/pods").empty());
}

}  // namespace
}  // namespace keelson::csi
