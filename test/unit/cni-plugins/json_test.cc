// SPDX-License-Identifier: Apache-2.0
#include "cni-plugins/lib/json.h"

#include <gtest/gtest.h>

namespace keelson::cni {
namespace {

Json Parse(std::string_view text) {
  Or<Json> j = Json::Parse(text);
  EXPECT_TRUE(j.ok()) << text << ": " << j.status().message();
  return j.ok() ? *j : Json();
}

TEST(Json, OrderAndSpellingSurviveARoundTrip) {
  const std::string text = R"({"z":1.50,"a":[true,false,null,-0,1e400],"m":{"k":"\"\\\n\u0001"}})";
  EXPECT_EQ(Parse(text).Dump(), text);
}

TEST(Json, PrettyFormIsTheOneGoPrints) {
  EXPECT_EQ(Parse(R"({"a":[1,{"b":"c"}],"e":{},"l":[]})").Dump(true),
            "{\n    \"a\": [\n        1,\n        {\n            \"b\": \"c\"\n        }\n    ],\n"
            "    \"e\": {},\n    \"l\": []\n}");
}

TEST(Json, MembersAreFoundInAnyCaseButTheExactOneWins) {
  const Json j = Parse(R"({"ISGATEWAY":true,"mtu":1,"MTU":2,"mtu":3})");
  ASSERT_NE(j.Find("isGateway"), nullptr);
  EXPECT_TRUE(j.Find("isGateway")->boolean());
  EXPECT_EQ(j.Find("mtu")->text(), "3");  // of equal names the last
  EXPECT_EQ(j.Find("mt"), nullptr);
}

TEST(Json, BrokenTextIsRefusedWithItsPlace) {
  for (const char* text :
       {"",        "{",         "}",      "[1,]",  "{\"a\":}",   "{\"a\" 1}", "{a:1}",
        "01",      "-",         "1.",     "1e",    "tru",        "nul",       "\"",
        "\"\\x\"", "\"\\u12\"", "\"\t\"", "{} {}", "{\"a\":1,}", "[1 2]",     "'a'"}) {
    Or<Json> j = Json::Parse(text);
    ASSERT_FALSE(j.ok()) << text;
    EXPECT_EQ(j.status().code(), Code::kDecoding) << text;
    EXPECT_NE(j.status().message().find(" at byte "), std::string::npos) << text;
  }
}

TEST(Json, NestingAndSizeAreBounded) {
  EXPECT_TRUE(Json::Parse(std::string(60, '[') + std::string(60, ']')).ok());
  EXPECT_FALSE(Json::Parse(std::string(70, '[') + std::string(70, ']')).ok());
  EXPECT_FALSE(Json::Parse(std::string(Json::kMaxBytes + 1, ' ')).ok());
}

TEST(Json, BrokenUtf8BecomesTheReplacementCharacter) {
  const std::string kReplaced = "\xEF\xBF\xBD";
  EXPECT_EQ(Parse("\"a\xFFz\"").text(), "a" + kReplaced + "z");
  EXPECT_EQ(Parse("\"\xC0\x80\"").text(), kReplaced + kReplaced);                  // overlong
  EXPECT_EQ(Parse("\"\xED\xA0\x80\"").text(), kReplaced + kReplaced + kReplaced);  // surrogate
  EXPECT_EQ(Parse(R"("\ud800")").text(), kReplaced);
  EXPECT_EQ(Parse(R"("\ud83d\ude00")").text(), "\xF0\x9F\x98\x80");
  EXPECT_EQ(Parse(R"("\ud83d\u0041")").text(), kReplaced + "A");
}

// ---- Reader -------------------------------------------------------------------------------------

TEST(Reader, ErrorsNameTheField) {
  const Json j = Parse(R"({"ipam":{"ranges":[[{"subnet":1}]]}})");
  Status error;
  Reader(j, &error)["ipam"]["ranges"].Items()[0].Items()[0]["subnet"].String();
  EXPECT_EQ(error.message(), "ipam.ranges[0][0].subnet: must be a string");
  EXPECT_EQ(error.code(), Code::kInvalidConfig);
}

TEST(Reader, TheFirstErrorSticks) {
  const Json j = Parse(R"({"a":1,"b":2})");
  Status error;
  const Reader r(j, &error);
  EXPECT_EQ(r["a"].String("x"), "x");
  EXPECT_FALSE(r["b"].Bool());
  EXPECT_EQ(error.message(), "a: must be a string");
}

TEST(Reader, AbsentAndNullAreNotErrors) {
  const Json j = Parse(R"({"n":null})");
  Status error;
  const Reader r(j, &error);
  EXPECT_EQ(r["n"].Int(7), 7);
  EXPECT_EQ(r["absent"]["deeper"].String("d"), "d");
  EXPECT_TRUE(r["n"].Items().empty());
  EXPECT_TRUE(r["absent"].Strings().empty());
  EXPECT_TRUE(error.ok());
}

TEST(Reader, WrongTypesAreErrors) {
  const Json j = Parse(R"({"s":"1","f":1.5,"big":99999999999999999999,"o":{},"l":[1],"neg":-1})");
  const auto fails = [&](auto read) {
    Status error;
    read(Reader(j, &error));
    return !error.ok();
  };
  EXPECT_TRUE(fails([](Reader r) { (void)r["s"].Int(); }));
  EXPECT_TRUE(fails([](Reader r) { (void)r["f"].Int(); }));
  EXPECT_TRUE(fails([](Reader r) { (void)r["big"].Int(); }));
  EXPECT_TRUE(fails([](Reader r) { (void)r["neg"].Int(0, 0, 10); }));
  EXPECT_TRUE(fails([](Reader r) { (void)r["s"].Bool(); }));
  EXPECT_TRUE(fails([](Reader r) { (void)r["s"].Items(); }));
  EXPECT_TRUE(fails([](Reader r) { (void)r["s"]["x"].given(); }));
  EXPECT_TRUE(fails([](Reader r) { (void)r["l"].Strings(); }));
  EXPECT_TRUE(fails([](Reader r) { (void)r["l"].Members(); }));
}

}  // namespace
}  // namespace keelson::cni
