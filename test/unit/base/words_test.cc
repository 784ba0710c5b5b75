// SPDX-License-Identifier: Apache-2.0
// Time, hashes, log lines and errors as text.
#include <cjson/cJSON.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/errno_status.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/time.h"
#include "test/unit/base/fixture.h"

namespace keelson::base {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(Rfc3339, IsWrittenAsGoDoes) {
  struct Row {
    int64_t nanos;
    const char* plain;
    const char* nano;
  };
  const Row rows[] = {
      {0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"},
      {1'767'322'245'000'000'000, "2026-01-02T02:50:45Z", "2026-01-02T02:50:45Z"},
      {1'767'322'245'120'000'000, "2026-01-02T02:50:45Z", "2026-01-02T02:50:45.12Z"},
      {1'767'322'245'000'000'001, "2026-01-02T02:50:45Z", "2026-01-02T02:50:45.000000001Z"},
      {-1, "1969-12-31T23:59:59Z", "1969-12-31T23:59:59.999999999Z"},
      {951'782'400'000'000'000, "2000-02-29T00:00:00Z", "2000-02-29T00:00:00Z"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(FormatRfc3339(FromUnixNanos(row.nanos)), row.plain);
    EXPECT_EQ(FormatRfc3339Nano(FromUnixNanos(row.nanos)), row.nano);
    EXPECT_EQ(ParseRfc3339(row.nano), FromUnixNanos(row.nanos)) << row.nano;
  }
}

TEST(Rfc3339, OffsetsAndLongFractionsAreRead) {
  EXPECT_EQ(ParseRfc3339("1970-01-01T01:30:00+01:30"), FromUnixNanos(0));
  EXPECT_EQ(ParseRfc3339("1969-12-31T23:00:00-01:00"), FromUnixNanos(0));
  EXPECT_EQ(ParseRfc3339("1970-01-01T00:00:00.0000000019Z"), FromUnixNanos(1));
}

TEST(Rfc3339, NonsenseIsRefused) {
  for (const char* text :
       {"", "2026", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02 03:04:05Z",
        "2026-13-02T03:04:05Z", "2026-00-02T03:04:05Z", "2025-02-29T03:04:05Z",
        "2026-01-32T03:04:05Z", "2026-01-00T03:04:05Z", "2026-01-02T24:04:05Z",
        "2026-01-02T03:60:05Z", "2026-01-02T03:04:60Z", "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05Zx", "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05+01",
        "2026-01-02T03:04:05+01:60", "+026-01-02T03:04:05Z", "9999-01-02T03:04:05Z",
        "0001-01-01T00:00:00Z"})
    EXPECT_FALSE(ParseRfc3339(text).has_value()) << text;
}

TEST(HumanDuration, IsWhatKubectlPrints) {
  struct Row {
    Nanos time;
    const char* expected;
  };
  const Row rows[] = {
      {seconds(-5), "0s"},         {seconds(0), "0s"},
      {seconds(119), "119s"},      {seconds(120), "2m"},
      {seconds(190), "3m10s"},     {seconds(599), "9m59s"},
      {minutes(10), "10m"},        {minutes(179), "179m"},
      {minutes(180), "3h"},        {minutes(302), "5h2m"},
      {hours(8), "8h"},            {hours(47), "47h"},
      {hours(48), "2d"},           {hours(76), "3d4h"},
      {hours(24 * 8), "8d"},       {hours(24 * 729), "729d"},
      {hours(24 * 730), "2y"},     {hours(24 * 740), "2y10d"},
      {hours(24 * 365 * 9), "9y"},
  };
  for (const Row& row : rows) EXPECT_EQ(HumanDuration(row.time), row.expected);
}

TEST(GoDuration, IsWhatGoPrints) {
  struct Row {
    Nanos time;
    const char* expected;
  };
  const Row rows[] = {
      {Nanos(0), "0s"},
      {Nanos(1), "1ns"},
      {Nanos(1100), "1.1µs"},
      {milliseconds(300), "300ms"},
      {Nanos(2'200'000), "2.2ms"},
      {milliseconds(1500), "1.5s"},
      {seconds(90), "1m30s"},
      {minutes(60), "1h0m0s"},
      {hours(25) + seconds(1) + Nanos(1), "25h0m1.000000001s"},
      {seconds(-10), "-10s"},
      {Nanos::min(), "-2562047h47m16.854775808s"},
  };
  for (const Row& row : rows) EXPECT_EQ(GoDuration(row.time), row.expected);
}

// Known answers of draft-eastlake-fnv.
TEST(Hash, Fnv1a) {
  EXPECT_EQ(Fnv1a32(""), 0x811c9dc5u);
  EXPECT_EQ(Fnv1a32("a"), 0xe40c292cu);
  EXPECT_EQ(Fnv1a32("foobar"), 0xbf9cf968u);
  EXPECT_EQ(Fnv1a128Hex(""), "6c62272e07bb014262b821756295c58d");
  EXPECT_EQ(Fnv1a128Hex("a"), "d228cb696f1a8caf78912b704e4a8964");
  EXPECT_EQ(Fnv1a128Hex("foobar"), "343e1662793c64bf6f0d3597ba446f18");
}

TEST(Errors, TellCallObjectAndReason) {
  errno = ENOENT;
  absl::Status status = ErrnoStatus("open", "/a");
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(Message(status), "open /a: No such file or directory");
  EXPECT_EQ(Message(Annotate(status, "read")), "read: open /a: No such file or directory");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "read").ok());
}

class LogTest : public ::testing::Test {
 protected:
  ~LogTest() override { InitLogging({}); }
  // What is written to stderr while `write` runs.
  template <typename Fn>
  std::string Logged(Fn write) {
    ::testing::internal::CaptureStderr();
    write();
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, TextHasTheShapeOfKlog) {
  std::string line = Logged([] { KLOG_WARNING("It broke", {"pod", "a/b"}, {"n", 3}); });
  EXPECT_EQ(line[0], 'W');
  const size_t at = line.find("] ");
  ASSERT_NE(at, std::string::npos) << line;
  EXPECT_NE(line.find("words_test.cc:"), std::string::npos);
  EXPECT_EQ(line.substr(at), "] \"It broke\" pod=\"a/b\" n=\"3\"\n");
}

TEST_F(LogTest, AHostileValueForgesNoLine) {
  std::string line = Logged([] {
    KLOG_INFO("x", {"v", "a\nE1231 00:00:00.000000 1 f.cc:1] \"forged\" \\ \t\x1b[31m\x7f\r"});
  });
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find(R"(v="a\nE1231 00:00:00.000000 1 f.cc:1] \"forged\" \\ \t\x1b[31m\x7f\x0d")"),
            std::string::npos)
      << line;
}

TEST_F(LogTest, VerbosityHidesDetails) {
  EXPECT_EQ(Logged([] { KLOG_V(2, "detail"); }), "");
  InitLogging({LogFormat::kText, 2, false});
  EXPECT_NE(Logged([] { KLOG_V(2, "detail"); }), "");
  EXPECT_EQ(Logged([] { KLOG_V(3, "more"); }), "");
}

TEST_F(LogTest, JsonIsOneValidObjectALine) {
  InitLogging({LogFormat::kJson, 0, false});
  const std::string hostile("a\"\n\\\xff\xc0\x80\xed\xa0\x80\xe2\x82\xac\xf0\x9f\x98\x80 tail", 22);
  std::string line = Logged([&] { KLOG_ERROR("It broke", {"err", hostile}); });
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  std::unique_ptr<cJSON, decltype(&cJSON_Delete)> root(cJSON_Parse(line.c_str()), cJSON_Delete);
  ASSERT_NE(root, nullptr) << line;
  auto text = [&](const char* key) {
    const char* value = cJSON_GetStringValue(cJSON_GetObjectItem(root.get(), key));
    return std::string(value ? value : "missing");
  };
  EXPECT_EQ(text("msg"), "It broke");
  EXPECT_TRUE(text("caller").starts_with("words_test.cc:"));
  EXPECT_GT(cJSON_GetNumberValue(cJSON_GetObjectItem(root.get(), "ts")), 1.7e12);
  EXPECT_FALSE(cJSON_HasObjectItem(root.get(), "v")) << "errors have no verbosity";
  const std::string bad = "\xef\xbf\xbd";
  EXPECT_EQ(text("err"), StrCat("a\"\n\\", bad, bad, bad, bad, bad, bad,
                                "\xe2\x82\xac\xf0\x9f\x98\x80 tail"));
}

TEST_F(LogTest, StatusesAreWrittenWithTheirCode) {
  std::string line =
      Logged([] { KLOG_INFO("x", {"err", absl::NotFoundError("gone")}, {"b", true}); });
  EXPECT_NE(line.find("err=\"NOT_FOUND: gone\" b=\"true\""), std::string::npos) << line;
}

}  // namespace
}  // namespace keelson::base
