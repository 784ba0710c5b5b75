// SPDX-License-Identifier: Apache-2.0
#include "tools/nodectl/table.h"

#include <gtest/gtest.h>

#include "tools/nodectl/completion.h"
#include "tools/nodectl/lists.h"

namespace keelson::nodectl {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"NAME", "AGE"});
  table.Add({"a-long-name", "1s"});
  table.Add({"ä", "20s"});
  EXPECT_EQ(table.Render(false),
            "NAME          AGE\n"
            "a-long-name   1s\n"
            "ä             20s\n");
}

TEST(Table, ColourDoesNotMoveColumns) {
  Table table({"S", "N"});
  table.Add({Cell("ok", Color::kGreen), "1"});
  EXPECT_EQ(table.Render(true), "\033[1mS\033[0m    \033[1mN\033[0m\n\033[32mok\033[0m   1\n");
}

TEST(Printable, TerminalSequencesDoNothing) {
  EXPECT_EQ(Printable("a\033[2Jb\x7f\r\nc\t"), "a^[[2Jb^?^M\\nc    ");
  EXPECT_EQ(Printable("a\nb", true), "a\nb");
  EXPECT_EQ(Printable("grün"), "grün");
}

TEST(AlignTabs, ColumnsOfAdjoiningLinesLineUp) {
  EXPECT_EQ(AlignTabs("a:\t1\nlong:\t2\nhead\nb:\tx\ty\n"), "a:     1\nlong:  2\nhead\nb:  x  y\n");
  EXPECT_EQ(AlignTabs(""), "");
}

TEST(HumanBytes, ThreeDigits) {
  EXPECT_EQ(HumanBytes(0), "0B");
  EXPECT_EQ(HumanBytes(999), "999B");
  EXPECT_EQ(HumanBytes(4261550), "4.26MB");
  EXPECT_EQ(HumanBytes(1.5e12), "1.5TB");
}

TEST(ImagesTable, OneRowATag) {
  auto text = ImagesTable(R"({"images":[
      {"id":"sha256:0123456789abcdef","repoTags":["r:5000/a:1","r:5000/a:2"],"sizeBytes":1000},
      {"id":"sha256:ff","repoTags":[],"repoDigests":["b@sha256:11"],"sizeBytes":5}]})",
                          {});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text,
            "IMAGE      TAG      IMAGE ID        SIZE\n"
            "r:5000/a   1        0123456789abc   1kB\n"
            "r:5000/a   2        0123456789abc   1kB\n"
            "b          <none>   ff              5B\n");
}

TEST(InflightTable, CallsWithTheirAge) {
  auto text = InflightTable(R"({"calls":[{"target":"cri","call":"PullImage","object":"busybox",
      "ageMilliseconds":1500}]})",
                            {});
  EXPECT_EQ(*text, "TARGET   CALL        OBJECT    AGE\ncri      PullImage   busybox   1.5s\n");
}

TEST(Completion, OnlyForShellsWeKnow) {
  for (const char* shell : {"bash", "zsh", "fish"}) EXPECT_FALSE(CompletionScript(shell).empty());
  EXPECT_TRUE(CompletionScript("tcsh").empty());
}

}  // namespace
}  // namespace keelson::nodectl
