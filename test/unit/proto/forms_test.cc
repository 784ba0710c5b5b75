// SPDX-License-Identifier: Apache-2.0
// Values with a text form of their own: durations, times, int-or-string, bytes, raw JSON, lists in
// a message.
#include <gtest/gtest.h>

#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/codec/duration.h"
#include "proto/k8s/authentication.pb.h"
#include "proto/k8s/intstr.pb.h"
#include "proto/k8s/kubelet_config.pb.h"
#include "proto/k8s/meta.pb.h"
#include "proto/k8s/objects.pb.h"

namespace keelson::proto {
namespace {

using google::protobuf::Message;

std::string Json(const Message& message) {
  absl::StatusOr<std::string> json = EncodeJson(message);
  return json.ok() ? *json : json.status().ToString();
}

// The text after a trip through the message, or the error.
template <typename T>
std::string Trip(std::string_view json) {
  T message;
  const absl::Status status = DecodeJson(json, &message, {.strict = true});
  return status.ok() ? Json(message) : std::string(base::Message(status));
}

TEST(GoDuration, TextIsReadAsGoReadsIt) {
  struct Row {
    std::string_view text;
    int64_t nanos;
  };
  constexpr Row kRows[] = {
      {"0", 0},
      {"-0", 0},
      {"+0", 0},
      {"0s", 0},
      {"5s", 5'000'000'000},
      {"+5s", 5'000'000'000},
      {"-5s", -5'000'000'000},
      {"1478s", 1'478'000'000'000},
      {"5.0s", 5'000'000'000},
      {"5.6s", 5'600'000'000},
      {"5.s", 5'000'000'000},
      {".5s", 500'000'000},
      {"1.0s", 1'000'000'000},
      {"1.004s", 1'004'000'000},
      {"1.0040s", 1'004'000'000},
      {"100.00100s", 100'001'000'000},
      {"10ns", 10},
      {"11us", 11'000},
      {"12\xC2\xB5s", 12'000},
      {"12\xCE\xBCs", 12'000},
      {"13ms", 13'000'000},
      {"14s", 14'000'000'000},
      {"15m", 900'000'000'000},
      {"16h", 57'600'000'000'000},
      {"3h30m", 12'600'000'000'000},
      {"10.5s4m", 250'500'000'000},
      {"-2m3.4s", -123'400'000'000},
      {"1h2m3s4ms5us6ns", 3'723'004'005'006},
      {"39h9m14.425s", 140'954'425'000'000},
      {"52763797000ns", 52'763'797'000},
      {"0.3333333333333333333h", 1'200'000'000'000},
      {"9223372036854775807ns", INT64_MAX},
      {"-9223372036854775808ns", INT64_MIN},
      {"9223372036s854ms775us807ns", INT64_MAX},
  };
  for (const Row& row : kRows) {
    const auto duration = ParseGoDuration(row.text);
    ASSERT_TRUE(duration.ok()) << row.text;
    EXPECT_EQ(duration->count(), row.nanos) << row.text;
  }
}

TEST(GoDuration, OtherTextIsRefused) {
  for (std::string_view text : {"", "3", "-", "s", ".", "-.", ".s", "+.s", "1d", "\x85\x85", "1 s",
                                "5S", "3000000h", "9223372036854775808ns", "9223372036854775.808us",
                                "-9223372036854775809ns", "1h ", "0x1s", "--5s"}) {
    EXPECT_FALSE(ParseGoDuration(text).ok()) << text;
  }
}

TEST(Forms, TimeIsRfc3339InUtc) {
  using k8s::meta::v1::Time;
  EXPECT_EQ(Trip<Time>("\"2026-01-02T03:04:05Z\""), "\"2026-01-02T03:04:05Z\"");
  EXPECT_EQ(Trip<Time>("\"2026-01-02T03:04:05+02:00\""), "\"2026-01-02T01:04:05Z\"");
  EXPECT_EQ(Trip<Time>("\"2026-01-02T03:04:05.999Z\""), "\"2026-01-02T03:04:05Z\"");
  EXPECT_EQ(Trip<Time>("\"1969-12-31T23:59:59.5Z\""), "\"1969-12-31T23:59:59Z\"");
  EXPECT_EQ(Trip<Time>("\"1970-01-01T00:00:00Z\""), "\"1970-01-01T00:00:00Z\"");
  for (std::string_view bad : {"\"\"", "\"2026-01-02\"", "\"2026-02-30T00:00:00Z\"", "5", "true",
                               "\"2026-01-02 03:04:05Z\"", "\"2026-01-02T03:04:05\""}) {
    EXPECT_NE(Trip<Time>(bad).find("expected a time"), std::string::npos) << bad;
  }
  EXPECT_EQ(Json(Time()), "null");
}

TEST(Forms, MicroTimeHasSixDecimals) {
  using k8s::meta::v1::MicroTime;
  EXPECT_EQ(Trip<MicroTime>("\"2026-01-02T03:04:05.123456789Z\""),
            "\"2026-01-02T03:04:05.123456Z\"");
  EXPECT_EQ(Trip<MicroTime>("\"2026-01-02T03:04:05Z\""), "\"2026-01-02T03:04:05.000000Z\"");
  EXPECT_EQ(Trip<MicroTime>("\"1969-12-31T23:59:59.500000Z\""), "\"1969-12-31T23:59:59.500000Z\"");
}

TEST(Forms, TimeOutsideOurClockStillEncodes) {
  k8s::meta::v1::Time time;
  time.set_seconds(INT64_MAX);
  EXPECT_TRUE(EncodeJson(time).ok());
  time.set_seconds(INT64_MIN);
  EXPECT_TRUE(EncodeJson(time).ok());
}

TEST(Forms, DurationIsGoText) {
  using k8s::meta::v1::Duration;
  EXPECT_EQ(Trip<Duration>("\"90s\""), "\"1m30s\"");
  EXPECT_EQ(Trip<Duration>("\"300ms\""), "\"300ms\"");
  EXPECT_EQ(Trip<Duration>("\"0\""), "\"0s\"");
  EXPECT_EQ(Trip<Duration>("5"), "line 1: expected a duration such as \"1m30s\", got number 5");
  EXPECT_EQ(Trip<k8s::kubelet::v1beta1::TimeOrDuration>("5000000000"), "\"5s\"");
  EXPECT_EQ(Trip<k8s::kubelet::v1beta1::TimeOrDuration>("\"5s\""), "\"5s\"");
}

TEST(Forms, IntOrStringKeepsItsKind) {
  using k8s::intstr::IntOrString;
  EXPECT_EQ(Trip<IntOrString>("8080"), "8080");
  EXPECT_EQ(Trip<IntOrString>("-1"), "-1");
  EXPECT_EQ(Trip<IntOrString>("0"), "0");
  EXPECT_EQ(Trip<IntOrString>("\"http\""), "\"http\"");
  EXPECT_EQ(Trip<IntOrString>("\"8080\""), "\"8080\"");
  EXPECT_EQ(Trip<IntOrString>("\"25%\""), "\"25%\"");
  EXPECT_EQ(Trip<IntOrString>("\"\""), "\"\"");
  EXPECT_EQ(Trip<IntOrString>("2147483647"), "2147483647");
  for (std::string_view bad : {"2147483648", "1.5", "1e3", "true", "[]", "{}"}) {
    EXPECT_NE(Trip<IntOrString>(bad).find("expected a 32-bit integer or a string"),
              std::string::npos);
  }
  EXPECT_EQ(Json(IntOrString()), "0");
}

TEST(Forms, BytesAreBase64) {
  k8s::v1::Secret secret;
  ASSERT_TRUE(
      DecodeYaml("data:\n  a: |\n    aGVs\n    bG8=\n  b: ''\n  c: AP8=\n", &secret, {}).ok());
  EXPECT_EQ(secret.data().at("a"), "hello");
  EXPECT_EQ(secret.data().at("b"), "");
  EXPECT_EQ(secret.data().at("c"), std::string("\0\xFF", 2));
  EXPECT_EQ(Json(secret), R"({"metadata":{},"data":{"a":"aGVsbG8=","b":"","c":"AP8="}})");
  for (std::string_view bad :
       {"aGVsbG8", "a", "aGVsbG8==", "====", "aG=sbG8=", "aGVs_G8=", "=aaa"}) {
    EXPECT_FALSE(DecodeYaml(base::StrCat("data: {a: \"", bad, "\"}"), &secret, {}).ok()) << bad;
  }
}

TEST(Forms, RawJsonIsKeptAsItIs) {
  using k8s::meta::v1::WatchEvent;
  EXPECT_EQ(Trip<WatchEvent>(R"({"type":"ADDED","object":{"kind":"Pod","x":[1,2.50,null]}})"),
            R"({"type":"ADDED","object":{"kind":"Pod","x":[1,2.50,null]}})");
  WatchEvent event;
  event.mutable_object()->set_raw(std::string("k8s\0", 4));
  EXPECT_EQ(EncodeJson(event).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Json(WatchEvent()), R"({"type":"","object":null})");
}

TEST(Forms, ListInAMessageIsAnArray) {
  k8s::authentication::v1::UserInfo user;
  ASSERT_TRUE(DecodeJson(R"({"username":"u","extra":{"a":["x","y"],"b":[]}})", &user, {}).ok());
  EXPECT_EQ(user.extra().at("a").items(1), "y");
  EXPECT_EQ(Json(user), R"({"username":"u","extra":{"a":["x","y"],"b":[]}})");
}

TEST(Forms, QuantityTakesNumbersToo) {
  using k8s::resource::Quantity;
  EXPECT_EQ(Trip<Quantity>("2"), "\"2\"");
  EXPECT_EQ(Trip<Quantity>("0.5"), "\"500m\"");
  EXPECT_EQ(Trip<Quantity>("\" 1Gi \""), "\"1Gi\"");
  EXPECT_EQ(Trip<Quantity>("\"1024Mi\""), "\"1Gi\"");
  EXPECT_EQ(Trip<Quantity>("true"),
            "line 1: expected a quantity such as \"100m\" or \"2Gi\", got bool");
  EXPECT_EQ(Json(Quantity()), "\"0\"");
}

}  // namespace
}  // namespace keelson::proto
