// SPDX-License-Identifier: Apache-2.0
// What exec, cp, port-forward and top make of what they are given; archives from containers are hostile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "tools/nodectl/copy.h"
#include "tools/nodectl/detach_keys.h"
#include "tools/nodectl/forward.h"
#include "tools/nodectl/session.h"
#include "tools/nodectl/tar.h"
#include "tools/nodectl/top.h"
#include "tools/nodectl/web_page.h"

namespace keelson::nodectl {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class TarTest : public ::testing::Test {
 protected:
  TarTest() {
    std::string name = "/tmp/kl-tar-XXXXXX";
    dir_ = ::mkdtemp(name.data());
    fs::create_directories(dir_ / "from");
    fs::create_directories(dir_ / "to");
  }
  ~TarTest() override { fs::remove_all(dir_); }

  std::string Pack(const fs::path& path, const std::string& name) {
    TarWriter writer(path, name);
    std::string all;
    for (;;) {
      auto piece = writer.Next();
      EXPECT_TRUE(piece.ok()) << piece.status();
      if (!piece.ok() || piece->empty()) return all;
      all += *piece;
    }
  }
  // In pieces that cut headers and data anywhere.
  absl::Status Unpack(const std::string& archive, const std::string& strip, const std::string& name) {
    auto to = base::OpenDir(dir_ / "to");
    EXPECT_TRUE(to.ok());
    TarExtractor extractor(std::move(*to), strip, name, [this](const std::string& text) { warned_.push_back(text); });
    TarReader reader({[&](const TarEntry& entry) { return extractor.Begin(entry); },
                      [&](std::string_view data) { return extractor.Data(data); }});
    for (size_t at = 0; at < archive.size(); at += 333)
      if (auto status = reader.Feed(std::string_view(archive).substr(at, 333)); !status.ok()) return status;
    return reader.Finish();
  }
  std::string Read(const std::string& name) {
    std::ifstream in(dir_ / "to" / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  fs::path dir_;
  std::vector<std::string> warned_;
};

TEST_F(TarTest, AFolderTravelsWhole) {
  const std::string large(200'001, 'x'), deep(150, 'n');
  fs::create_directories(dir_ / "from/sub" / deep / deep);
  std::ofstream(dir_ / "from/a") << "a\n";
  std::ofstream(dir_ / "from/empty");
  std::ofstream(dir_ / "from/sub" / deep / deep / "large") << large;
  fs::permissions(dir_ / "from/a", fs::perms(0751));
  fs::create_symlink("/etc/passwd", dir_ / "from/link");
  ASSERT_TRUE(Unpack(Pack(dir_ / "from", "top"), "top", "copy").ok());
  EXPECT_EQ(Read("copy/a"), "a\n");
  EXPECT_TRUE(fs::exists(dir_ / "to/copy/empty"));
  EXPECT_EQ(Read("copy/sub/" + deep + "/" + deep + "/large"), large);
  EXPECT_EQ(fs::status(dir_ / "to/copy/a").permissions(), fs::perms(0751));
  EXPECT_FALSE(fs::exists(fs::symlink_status(dir_ / "to/copy/link")));
  EXPECT_THAT(warned_, ElementsAre("left out, not a file or folder: top/link"));
}

TEST_F(TarTest, AFileTakesItsNewNameAndReplaces) {
  std::ofstream(dir_ / "from/f") << "new";
  std::ofstream(dir_ / "to/g") << "old and longer";
  ASSERT_TRUE(Unpack(Pack(dir_ / "from/f", "f"), "f", "g").ok());
  EXPECT_EQ(Read("g"), "new");
}

TEST_F(TarTest, NothingLeavesTheTarget) {
  std::ofstream(dir_ / "from/f") << "evil";
  for (const char* name : {"../out", "/out", "top/../../out", "top/..", "other/f"}) {
    EXPECT_FALSE(Unpack(Pack(dir_ / "from/f", name), "top", "copy").ok()) << name;
    EXPECT_FALSE(fs::exists(dir_ / "out")) << name;
  }
  // A symlink that was there before leads nowhere either.
  fs::create_directories(dir_ / "to/copy");
  fs::create_directories(dir_ / "outside");
  fs::create_directory_symlink(dir_ / "outside", dir_ / "to/copy/link");
  std::ofstream(dir_ / "outside/kept") << "kept";
  fs::create_symlink(dir_ / "outside/kept", dir_ / "to/copy/file");
  EXPECT_FALSE(Unpack(Pack(dir_ / "from/f", "top/link/f"), "top", "copy").ok());
  EXPECT_FALSE(Unpack(Pack(dir_ / "from/f", "top/file"), "top", "copy").ok());
  EXPECT_FALSE(fs::exists(dir_ / "outside/f"));
  std::ifstream kept(dir_ / "outside/kept");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(kept), {}), "kept");
}

TEST_F(TarTest, WhatIsNoArchiveSaysSo) {
  EXPECT_TRUE(absl::IsInvalidArgument(Unpack(std::string(600, 'x'), "a", "b")));
  std::ofstream(dir_ / "from/f") << std::string(2000, 'x');
  const std::string whole = Pack(dir_ / "from/f", "f");
  EXPECT_TRUE(absl::IsDataLoss(Unpack(whole.substr(0, 1000), "f", "f")));
  EXPECT_TRUE(absl::IsNotFound(Unpack("", "f", "f")));
}

TEST(CopyPlace, PodsAndPathsAreToldApart) {
  auto remote = ParseCopyPlace("shop/web:/var/log");
  ASSERT_TRUE(remote.ok());
  EXPECT_EQ(remote->ns + "|" + remote->pod + "|" + remote->path, "shop|web|/var/log");
  EXPECT_EQ(ParseCopyPlace("web:log")->pod, "web");
  EXPECT_EQ(ParseCopyPlace("./a:b")->pod, "");
  EXPECT_EQ(ParseCopyPlace("/a:b")->path, "/a:b");
  for (const char* bad : {"", "web:", ":x", "a/:x"}) EXPECT_FALSE(ParseCopyPlace(bad).ok()) << bad;
  EXPECT_EQ(Split("/a/b/").dir + "|" + Split("/a/b/").base, "/a|b");
  EXPECT_EQ(Split("/a").dir, "/");
  EXPECT_EQ(Split("a").dir + "|" + Split("a").base, ".|a");
  EXPECT_EQ(Split("/").base, ".");
}

TEST(DetachKeys, OnlyAllOfThemInOrderLeave) {
  // What each piece typed lets through, and "|" where it left.
  auto typed = [](const std::string& keys, const std::vector<std::string>& pieces) {
    auto parsed = DetachKeys::Parse(keys);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    std::string out;
    for (const std::string& piece : pieces)
      if (parsed->Take(piece, &out)) return out + "|";
    return out;
  };
  EXPECT_EQ(typed("ctrl-p,ctrl-q", {"ls\r\x10\x11more"}), "ls\r|");
  EXPECT_EQ(typed("ctrl-p,ctrl-q", {"a\x10", "\x11"}), "a|");
  EXPECT_EQ(typed("ctrl-p,ctrl-q", {"\x10", "x\x11"}), "\x10x\x11");
  EXPECT_EQ(typed("ctrl-p,ctrl-q", {"\x10\x10\x11"}), "\x10|");
  EXPECT_EQ(typed("ctrl-p,ctrl-q", {"a\x10"}), "a");
  EXPECT_EQ(typed("a", {"bab"}), "b|");
  EXPECT_EQ(typed("ctrl-@,ctrl-[,~", {std::string("\0\x1b~", 3)}), "|");
  EXPECT_EQ(typed("", {"\x10\x11"}), "\x10\x11");
  for (const char* bad : {"ctrl-", "ctrl-A", "ctrl-1", "ctl-p", "ctrl-p,", ",ctrl-p", "ctrl-p,,x", "ab"})
    EXPECT_FALSE(DetachKeys::Parse(bad).ok()) << bad;
}

TEST(ForwardedPorts, Forms) {
  EXPECT_EQ(ParseForwardedPort("8080:80")->local, 8080);
  EXPECT_EQ(ParseForwardedPort("8080:80")->remote, 80);
  EXPECT_EQ(ParseForwardedPort("80")->local, 80);
  EXPECT_EQ(ParseForwardedPort(":80")->local, 0);
  for (const char* bad : {"", ":", "0", "x", "1:2:3", "70000", "80:", "80:0", "-1"})
    EXPECT_FALSE(ParseForwardedPort(bad).ok()) << bad;
}

TEST(SessionOutcome, CodesAndWords) {
  EXPECT_EQ(*ExitCodeOf(R"({"metadata":{},"status":"Success"})"), 0);
  EXPECT_EQ(*ExitCodeOf(R"({"status":"Failure","reason":"NonZeroExitCode",
      "details":{"causes":[{"reason":"ExitCode","message":"7"}]}})"), 7);
  EXPECT_THAT(std::string(ExitCodeOf(R"({"status":"Failure","message":"no shell"})").status().message()),
              HasSubstr("no shell"));
  EXPECT_FALSE(ExitCodeOf("not json").ok());
}

k8s::stats::v1alpha1::Summary TwoPods() {
  k8s::stats::v1alpha1::Summary summary;
  summary.mutable_node()->set_nodename("n1");
  summary.mutable_node()->mutable_cpu()->set_usagenanocores(500'000'000);
  summary.mutable_node()->mutable_memory()->set_workingsetbytes(1 << 30);
  for (const char* name : {"b", "a"}) {
    auto* pod = summary.add_pods();
    pod->mutable_podref()->set_name(name);
    pod->mutable_podref()->set_namespace_("shop");
    pod->mutable_cpu()->set_usagenanocores(*name == 'a' ? 1'500'001 : 9'000'000);
    pod->mutable_memory()->set_workingsetbytes(20 << 20);
    auto* container = pod->add_containers();
    container->set_name("c");
    container->mutable_cpu()->set_usagenanocores(1);
  }
  return summary;
}

TEST(Top, TablesAsKubectlHasThem) {
  TopStyle style;
  EXPECT_EQ(TopPodsTable(TwoPods(), style),
            "NAMESPACE   NAME   CPU(cores)   MEMORY(bytes)\n"
            "shop        a      2m           20Mi\n"
            "shop        b      9m           20Mi\n");
  style.ns = "shop";
  style.sort = "cpu";
  style.names = {"pod/a", "b"};
  EXPECT_EQ(TopPodsTable(TwoPods(), style), "NAME   CPU(cores)   MEMORY(bytes)\nb      9m           20Mi\na      2m           20Mi\n");
  style.containers = true;
  style.names = {"a"};
  EXPECT_EQ(TopPodsTable(TwoPods(), style), "POD   NAME   CPU(cores)   MEMORY(bytes)\na     c      1m           0Mi\n");
  EXPECT_EQ(TopNodeTable(TwoPods(), 2, uint64_t{4} << 30, {}),
            "NAME   CPU(cores)   CPU(%)   MEMORY(bytes)   MEMORY(%)\n"
            "n1     500m         25%      1024Mi          25%\n");
  EXPECT_TRUE(HasRates(TwoPods()));
  auto fresh = TwoPods();
  fresh.mutable_pods(0)->mutable_containers(0)->mutable_cpu()->clear_usagenanocores();
  EXPECT_FALSE(HasRates(fresh));
}

TEST(WebPage, LoadsNothingFromElsewhereAndMakesNoMarkup) {
  for (const char* name : {"", "app.js", "style.css"}) {
    const std::string body(FindWebFile(name).body);
    EXPECT_FALSE(body.empty()) << name;
    for (const char* never : {"http://", "https://", "innerHTML", "outerHTML", "document.write", "eval(",
                              "insertAdjacentHTML", "style=", "onclick="})
      EXPECT_THAT(body, Not(HasSubstr(never))) << name;
  }
  EXPECT_TRUE(FindWebFile("../etc/passwd").body.empty());
}

}  // namespace
}  // namespace keelson::nodectl
