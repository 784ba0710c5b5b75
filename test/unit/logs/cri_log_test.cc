// SPDX-License-Identifier: Apache-2.0
#include "kubelet/logs/cri_log.h"

#include <gtest/gtest.h>

namespace keelson::kubelet {
namespace {

std::string Decode(std::string_view file, LogFilter filter = {}) {
  std::string whole;
  LogDecoder(filter).Feed(file, &whole);
  // Where the blocks of a file end must not matter.
  std::string bytewise;
  LogDecoder decoder(filter);
  for (char c : file) decoder.Feed(std::string_view(&c, 1), &bytewise);
  EXPECT_EQ(whole, bytewise);
  return whole;
}

TEST(CriLog, LinesLoseTheirHeader) {
  EXPECT_EQ(Decode("2026-01-01T00:00:00.5Z stdout F hello world\n"
                   "2026-01-01T00:00:01Z stderr F \n"
                   "2026-01-01T02:00:01+02:00 stdout F:x  two spaces\n"),
            "hello world\n\n two spaces\n");
}

TEST(CriLog, PartialLinesAreJoined) {
  EXPECT_EQ(Decode("2026-01-01T00:00:00Z stdout P one \n"
                   "2026-01-01T00:00:01Z stdout P:more two \n"
                   "2026-01-01T00:00:02Z stdout F three\n"),
            "one two three\n");
}

TEST(CriLog, TimestampsHaveNineDigitsAndStandAtLineStartsOnly) {
  LogFilter filter;
  filter.timestamps = true;
  EXPECT_EQ(Decode("2026-01-01T00:00:00.12Z stdout P a\n"
                   "2026-01-01T00:00:01Z stdout F b\n"
                   "2026-01-01T00:00:02+01:00 stderr F c\n",
                   filter),
            "2026-01-01T00:00:00.120000000Z ab\n2026-01-01T00:00:02.000000000+01:00 c\n");
}

TEST(CriLog, SinceKeepsWhatIsAsOldOrNewer) {
  LogFilter filter;
  filter.since = base::ParseRfc3339("2026-01-01T00:00:01Z");
  EXPECT_EQ(Decode("2026-01-01T00:00:00.999999999Z stdout F old\n"
                   "2026-01-01T00:00:01Z stdout F same\n"
                   "2026-01-01T00:00:02Z stdout F new\n",
                   filter),
            "same\nnew\n");
}

TEST(CriLog, LinesThatAreNoneAreLeftOut) {
  EXPECT_EQ(Decode("\n"
                   "garbage\n"
                   "yesterday stdout F x\n"
                   "2026-01-01T00:00:00Z stdmid F x\n"
                   "2026-01-01T00:00:00Z stdout F\n"
                   "2026-01-01T00:00:00Z  F x\n"
                   "2026-99-01T00:00:00Z stdout F x\n"
                   "2026-01-01T00:00:00Z stdout F good\n"),
            "good\n");
}

TEST(CriLog, BinaryContentPassesUnchanged) {
  const std::string binary("\0\x1b[31m\xff\r\t", 9);
  EXPECT_EQ(Decode("2026-01-01T00:00:00Z stdout F " + binary + "\n"), binary + "\n");
}

TEST(CriLog, EndlessHeaderTakesNoMemoryAndIsSkipped) {
  EXPECT_EQ(Decode(std::string(1 << 20, 'x') + "\n2026-01-01T00:00:00Z stdout F good\n"), "good\n");
}

TEST(CriLog, ContentIsPassedOnBeforeItsLineEnds) {
  LogDecoder decoder({});
  std::string out;
  decoder.Feed("2026-01-01T00:00:00Z stdout F " + std::string(100, 'a'), &out);
  EXPECT_EQ(out.size(), 100u);
}

}  // namespace
}  // namespace keelson::kubelet
