// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/quantity.h"

#include <gtest/gtest.h>

#include "base/strings.h"
#include "proto/k8s/quantity.pb.h"

namespace keelson::proto {
namespace {

using Format = Quantity::Format;

Quantity Q(std::string_view text) {
  absl::StatusOr<Quantity> quantity = Quantity::Parse(text);
  EXPECT_TRUE(quantity.ok()) << text << ": " << quantity.status().ToString();
  return quantity.ok() ? *quantity : Quantity();
}

struct Row {
  std::string_view text;
  std::string_view canonical;
  int64_t milli;
};

// What apimachinery's Quantity prints after parsing, and its MilliValue().
constexpr Row kRows[] = {
    // Zero has no suffix.
    {"0", "0", 0},
    {"00", "0", 0},
    {"0.0", "0", 0},
    {"-0", "0", 0},
    {"0n", "0", 0},
    {"0m", "0", 0},
    {"0k", "0", 0},
    {"0Ki", "0", 0},
    {"0e5", "0", 0},
    {".", "0", 0},
    // Plain numbers.
    {"1", "1", 1000},
    {"+1", "+1", 1000},
    {"-1", "-1", -1000},
    {"1.", "1.", 1000},
    {"9", "9", 9000},
    {"12345", "12345", 12345000},
    {"1000", "1k", 1000000},
    {"2000000", "2M", 2000000000},
    {"1500", "1500", 1500000},
    // Decimal fractions become m, u, n.
    {"0.5", "500m", 500},
    {".5", "500m", 500},
    {"-0.5", "-500m", -500},
    {"0.001", "1m", 1},
    {"0.25", "250m", 250},
    {"1.5", "1500m", 1500},
    {"9.01", "9010m", 9010},
    {"0.000001", "1u", 1},
    {"0.1m", "100u", 1},
    {"2.5m", "2500u", 3},
    {"0.0000000001", "1n", 1},
    {"0.00000012345", "124n", 1},
    {"3.001n", "4n", 1},
    {"-3.001n", "-4n", -1},
    {"1.500", "1.500", 1500},
    // Decimal SI.
    {"5n", "5n", 1},
    {"4u", "4u", 1},
    {"3m", "3m", 3},
    {"100m", "100m", 100},
    {"1000m", "1", 1000},
    {"1500m", "1500m", 1500},
    {"1000000u", "1", 1000},
    {"8k", "8k", 8000000},
    {"50k", "50k", 50000000},
    {"8.1k", "8100", 8100000},
    {"0.0005k", "500m", 500},
    {"100.035k", "100.035k", 100035000},
    {"7.123456M", "7.123456M", 7123456000},
    {"10.035M", "10.035M", 10035000000},
    {"6G", "6G", 6000000000000},
    {"1000M", "1G", 1000000000000},
    {"1.G", "1.G", 1000000000000},
    {"5T", "5T", 5000000000000000},
    {"2P", "2P", 2000000000000000000},
    {"1E", "1E", INT64_MAX},
    {"12E", "12E", INT64_MAX},
    {"1000E", "1000E", INT64_MAX},
    // Binary SI.
    {"1Ki", "1Ki", 1024000},
    {"7Mi", "7Mi", 7340032000},
    {"1024Ki", "1Mi", 1048576000},
    {"1024Mi", "1Gi", 1073741824000},
    {"2048Mi", "2Gi", 2147483648000},
    {"1001Mi", "1001Mi", 1049624576000},
    {"1000Mi", "1000Mi", 1048576000000},
    {"1.5Gi", "1536Mi", 1610612736000},
    {"0.5Mi", "512Ki", 524288000},
    {"0.5Ki", "512", 512000},
    {"0.25Gi", "256Mi", 268435456000},
    {"-1Ki", "-1Ki", -1024000},
    {"100.035Ki", "102435840m", 102435840},
    {"0.000000000001Ki", "2n", 1},
    {"5Ti", "5Ti", 5497558138880000},
    {"4Pi", "4Pi", 4503599627370496000},
    {"3Ei", "3Ei", INT64_MAX},
    {"9Ei", "9223372036854775807", INT64_MAX},
    {"9223372036854775807Ki", "9223372036854775807", INT64_MAX},
    // Decimal exponents.
    {"1e3", "1e3", 1000000},
    {"1E3", "1E3", 1000000},
    {"1e0", "1e0", 1000},
    {"1E-3", "1E-3", 1},
    {"1e4", "10e3", 10000000},
    {"12e6", "12e6", 12000000000},
    {"1.2e3", "1200", 1200000},
    {"1.3E+6", "1300e3", 1300000000},
    {"0.5e0", "500e-3", 500},
    {"0.5e-9", "1e-9", 1},
    {"1.1E-9", "2e-9", 1},
    {"1000e-12", "1e-9", 1},
};

TEST(Quantity, TextIsCanonicalAsUpstreamPrintsIt) {
  static_assert(std::size(kRows) >= 60);
  for (const Row& row : kRows) {
    const Quantity quantity = Q(row.text);
    EXPECT_EQ(quantity.ToString(), row.canonical) << row.text;
    EXPECT_EQ(quantity.MilliValue(), row.milli) << row.text;
  }
}

TEST(Quantity, CanonicalTextParsesToTheSameAmount) {
  for (const Row& row : kRows) {
    const Quantity quantity = Q(row.text);
    const Quantity again = Q(quantity.ToString());
    EXPECT_TRUE(again == quantity) << row.text;
    EXPECT_EQ(again.ToString(), quantity.ToString()) << row.text;
  }
}

TEST(Quantity, OtherTextIsRefused) {
  for (std::string_view text : {"",
                                " 1",
                                "1 ",
                                "1.1.M",
                                "1+1.0M",
                                "0.1mi",
                                "0.1am",
                                "aoeu",
                                ".5i",
                                "1i",
                                "-3.01i",
                                "-3.01e-",
                                "1e",
                                "1ee3",
                                "1e+-3",
                                "--1",
                                "+",
                                "-",
                                "Ki",
                                "1KI",
                                "1K",
                                "0x10",
                                "1e9999999999",
                                "1e40",
                                "100000000000000000000000000000001",
                                "\xFF",
                                "1_000"}) {
    EXPECT_FALSE(Quantity::Parse(text).ok()) << text;
  }
  EXPECT_FALSE(Quantity::Parse(std::string(10'000, '0')).ok());
}

TEST(Quantity, RefusalSaysWhatToWrite) {
  const auto bad = Quantity::Parse("5K");
  EXPECT_NE(base::Message(bad.status()).find("\"5K\": unknown suffix"), std::string_view::npos);
}

TEST(Quantity, ValueRoundsAwayFromZero) {
  EXPECT_EQ(Q("9.01").Value(), 10);
  EXPECT_EQ(Q("-9.01").Value(), -10);
  EXPECT_EQ(Q("1m").Value(), 1);
  EXPECT_EQ(Q("1u").MilliValue(), 1);
  EXPECT_EQ(Q("1Gi").Value(), 1073741824);
  EXPECT_EQ(Q("12E").Value(), INT64_MAX);
  EXPECT_DOUBLE_EQ(Q("1500m").AsDouble(), 1.5);
}

TEST(Quantity, SumKeepsTheFormatOfTheFirstNonZero) {
  Quantity sum;
  sum.Add(Q("1Gi"));
  EXPECT_EQ(sum.ToString(), "1Gi");
  sum.Add(Q("1024Mi"));
  EXPECT_EQ(sum.ToString(), "2Gi");
  sum.Add(Q("0"));
  EXPECT_EQ(sum.ToString(), "2Gi");
  Quantity cpu = Q("900m");
  cpu.Add(Q("1100m"));
  EXPECT_EQ(cpu.ToString(), "2");
  Quantity below;
  below.Sub(Q("1Ki"));
  EXPECT_EQ(below.ToString(), "-1Ki");
  Quantity zero = Q("1000m");
  zero.Sub(Q("1"));
  EXPECT_TRUE(zero.IsZero());
  EXPECT_EQ(zero.ToString(), "0");
}

TEST(Quantity, SumsStickAtTheBound) {
  Quantity huge = Q("99999999999999999999999999999");
  for (int i = 0; i < 8; ++i) huge.Add(huge);
  EXPECT_EQ(huge.Value(), INT64_MAX);
  EXPECT_GT(huge, Q("12E"));
  huge.Neg();
  for (int i = 0; i < 8; ++i) huge.Add(huge);
  EXPECT_EQ(huge.Value(), INT64_MIN);
  EXPECT_EQ(huge.Sign(), -1);
}

TEST(Quantity, OrderIsByAmountNotByText) {
  EXPECT_EQ(Q("1"), Q("1000m"));
  EXPECT_EQ(Q("1024"), Q("1Ki"));
  EXPECT_LT(Q("50m"), Q("100m"));
  EXPECT_GT(Q("10000T"), Q("100Gi"));
  EXPECT_LT(Q("-1"), Q("0"));
}

TEST(Quantity, MadeFromNumbersPrintsCanonically) {
  EXPECT_EQ(Quantity::FromMilli(1500).ToString(), "1500m");
  EXPECT_EQ(Quantity::FromMilli(2000).ToString(), "2");
  EXPECT_EQ(Quantity::FromValue(110).ToString(), "110");
  EXPECT_EQ(Quantity::FromValue(8151, Format::kBinarySi).ToString(), "8151");
  EXPECT_EQ(Quantity::FromValue(16 << 20, Format::kBinarySi).ToString(), "16Mi");
  EXPECT_EQ(Quantity::FromValue(1023, Format::kBinarySi).ToString(), "1023");
}

TEST(Quantity, MessageHoldsTheText) {
  k8s::resource::Quantity message;
  ASSERT_TRUE(Quantity::From(message).ok());
  EXPECT_TRUE(Quantity::From(message)->IsZero());
  Q("1024Mi").To(&message);
  EXPECT_EQ(message.string(), "1Gi");
  EXPECT_EQ(Quantity::From(message)->Value(), int64_t{1} << 30);
}

}  // namespace
}  // namespace keelson::proto
