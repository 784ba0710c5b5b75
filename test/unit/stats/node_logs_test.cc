// SPDX-License-Identifier: Apache-2.0
// Questions about the node's logs: what is understood, what is refused, what is found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/files.h"
#include "kubelet/server/node_log_query.h"

namespace keelson::kubelet {
namespace {

using ::testing::HasSubstr;

TEST(NodeLogQuery, WordsBecomeAQuery) {
  auto query = ParseNodeLogQuery({{"query", "kubelet"},
                                  {"query", "containerd"},
                                  {"sinceTime", "2026-01-02T03:04:05Z"},
                                  {"tailLines", "10"},
                                  {"boot", "-1"},
                                  {"pattern", "fail(ed)?"}});
  ASSERT_TRUE(query.ok()) << query.status();
  EXPECT_EQ(query->services, (std::vector<std::string>{"kubelet", "containerd"}));
  EXPECT_EQ(base::FormatRfc3339(*query->since), "2026-01-02T03:04:05Z");
  EXPECT_EQ(query->tail_lines, 10);
  EXPECT_EQ(query->boot, -1);
  EXPECT_TRUE(ValidateNodeLogQuery(*query).ok());
  auto file = ParseNodeLogQuery({{"query", "/syslog"}});
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->files, std::vector<std::string>{"/syslog"});
  EXPECT_TRUE(ParseNodeLogQuery({}).ok());  // a plain file or folder
}

TEST(NodeLogQuery, WordsThatAreNoneAreNotUnderstood) {
  for (const Query& query :
       {Query{{"query", ""}}, Query{{"query", "  "}}, Query{{"query", "a"}, {"sinceTime", "today"}},
        Query{{"query", "a"}, {"untilTime", "1"}}, Query{{"query", "a"}, {"tailLines", "x"}},
        Query{{"query", "a"}, {"boot", "1.5"}}})
    EXPECT_TRUE(absl::IsInvalidArgument(ParseNodeLogQuery(query).status()));
}

TEST(NodeLogQuery, WhatCannotBeServedIsRefused) {
  const std::pair<Query, const char*> kTable[] = {
      {{{"query", "a$b"}}, "unsupported characters"},
      {{{"query", "a;reboot"}}, "unsupported characters"},
      {{{"query", std::string(300, 'a')}}, "length must be less than 256"},
      {{{"query", "a"}, {"query", "b"}, {"query", "c"}, {"query", "d"}, {"query", "e"}}, "Too many"},
      {{{"query", "a"}, {"query", "b/c"}}, "cannot specify a file and service"},
      {{{"query", "a/b"}, {"query", "b/c"}}, "cannot specify more than one file"},
      {{{"query", "a/b"}, {"boot", "0"}}, "cannot specify file with options"},
      {{{"query", "a"}, {"boot", "1"}}, "must be less than 1"},
      {{{"query", "a"}, {"tailLines", "100001"}}, "must be between 0 and 100000"},
      {{{"query", "a"}, {"tailLines", "-1"}}, "must be between 0 and 100000"},
      {{{"query", "a"}, {"pattern", "("}}, "pattern"},
      {{{"query", "a"}, {"sinceTime", "2026-01-02T03:04:05Z"}, {"untilTime", "2026-01-01T00:00:00Z"}},
       "must be after `sinceTime`"},
  };
  for (const auto& [query, why] : kTable) {
    auto parsed = ParseNodeLogQuery(query);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_THAT(std::string(ValidateNodeLogQuery(*parsed).message()), HasSubstr(why));
  }
}

TEST(NodeLogQuery, AnEntryReadsAsJournalctlPrintsIt) {
  JournalEntry entry{base::FromUnixNanos(1'729'112'623'123'456'789), "n1", "kubelet", "12", "hello"};
  EXPECT_EQ(ShortPrecise(entry), "Oct 16 21:03:43.123456 n1 kubelet[12]: hello\n");
  entry.pid.clear();
  EXPECT_EQ(ShortPrecise(entry), "Oct 16 21:03:43.123456 n1 kubelet: hello\n");
}

class LogFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kllogs.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
    ASSERT_TRUE(base::MakeDirs(dir_ + "/journal", 0755).ok());
    ASSERT_TRUE(base::MakeDirs(dir_ + "/log/web", 0755).ok());
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(dir_).ok()); }
  void Put(const std::string& name, const std::string& text) {
    ASSERT_TRUE(base::WriteFileAtomic(dir_ + "/log/" + name, text, 0644).ok());
  }
  std::string Read(NodeLogQuery query) {
    return ReadNodeLogs(query, dir_ + "/log", dir_ + "/journal");
  }
  static NodeLogQuery For(const std::string& service) {
    NodeLogQuery query;
    query.services = {service};
    return query;
  }
  std::string dir_;
};

TEST_F(LogFilesTest, AServiceWithoutJournalIsLookedForAmongFiles) {
  Put("db", "one\n");
  Put("cache.log", "two\n");
  Put("web/web.log", "three\n");
  EXPECT_EQ(Read(For("db")), "one\n");
  EXPECT_EQ(Read(For("cache")), "two\n");
  EXPECT_EQ(Read(For("web")), "three\n");  // web itself is a folder
  EXPECT_EQ(Read(For("nope")), "\nlog not found for nope\n");
}

TEST_F(LogFilesTest, OptionsAreForTheJournalAlone) {
  Put("db", "one\n");
  NodeLogQuery query = For("db");
  query.tail_lines = 1;
  EXPECT_THAT(Read(query), HasSubstr("options present and query resolved to log files for [db]"));
}

TEST_F(LogFilesTest, ALinkDoesNotLeaveTheFolder) {
  ASSERT_EQ(::symlink("/etc/passwd", (dir_ + "/log/db").c_str()), 0);
  EXPECT_EQ(Read(For("db")), "\nlog not found for db\n");
}

}  // namespace
}  // namespace keelson::kubelet
