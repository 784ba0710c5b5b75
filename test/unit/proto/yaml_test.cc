// SPDX-License-Identifier: Apache-2.0
// YAML as sigs.k8s.io/yaml reads it, the tree underneath, and what we write.
#include <gtest/gtest.h>

#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/codec/text.h"
#include "proto/codec/value.h"
#include "proto/k8s/meta.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::proto {
namespace {

std::string AsJson(std::string_view yaml) {
  absl::StatusOr<Value> tree = ParseTree(yaml, {});
  return tree.ok() ? ToJson(*tree) : "error: " + std::string(base::Message(tree.status()));
}

TEST(Yaml, ScalarsWithoutQuotesGetTheirYaml11Type) {
  struct Row {
    std::string_view yaml, json;
  };
  constexpr Row kRows[] = {
      {"yes", "true"},
      {"No", "false"},
      {"on", "true"},
      {"OFF", "false"},
      {"y", "true"},
      {"N", "false"},
      {"true", "true"},
      {"FALSE", "false"},
      {"tRue", "\"tRue\""},
      {"'yes'", "\"yes\""},
      {"~", "null"},
      {"Null", "null"},
      {"nULL", "\"nULL\""},
      {"\"\"", "\"\""},
      {"''", "\"\""},
      {"0", "0"},
      {"-0", "0"},
      {"+5", "5"},
      {"007", "7"},
      {"0644", "420"},
      {"0o17", "15"},
      {"08", "8"},
      {"0x1F", "31"},
      {"-0x1f", "-31"},
      {"0b101", "5"},
      {"1_000", "1000"},
      {"_1", "\"_1\""},
      {"9223372036854775807", "9223372036854775807"},
      {"18446744073709551615", "18446744073709551615"},
      {"1.5", "1.5"},
      {"1.50", "1.5"},
      {"1e3", "1000"},
      {"1e-7", "1e-07"},
      {".5", "0.5"},
      {"5.", "5"},
      {"-.5", "-0.5"},
      {"1e999", "\"1e999\""},
      {"1.2.3", "\"1.2.3\""},
      {"1:30", "\"1:30\""},
      {"2026-01-02", "\"2026-01-02\""},
      {"2026-01-02T03:04:05Z", "\"2026-01-02T03:04:05Z\""},
      {"2026-", "\"2026-\""},
      {"100m", "\"100m\""},
      {"1Gi", "\"1Gi\""},
      {"-", "[null]"},
      {"'5'", "\"5\""},
      {"!!str 5", "\"5\""},
      {"!!int \"5\"", "5"},
      {"!!bool yes", "true"},
      {"!!float 5", "5"},
      {"!!binary aGk=", "\"hi\""},
      {"!custom 5", "\"5\""},
      {"|\n  a\n  b\n", "\"a\\nb\\n\""},
      {">-\n  a\n  b\n", "\"a b\""},
      {"{a: 1, b: [x, 'y']}", "{\"a\":1,\"b\":[\"x\",\"y\"]}"},
  };
  for (const Row& row : kRows) EXPECT_EQ(AsJson(row.yaml), row.json) << row.yaml;
}

TEST(Yaml, WhatJsonCannotHoldIsRefused) {
  EXPECT_EQ(AsJson("a: .inf"), "error: line 1: .inf has no counterpart in JSON");
  EXPECT_EQ(AsJson("a: -.Inf"), "error: line 1: -.Inf has no counterpart in JSON");
  EXPECT_EQ(AsJson("a: .nan"), "error: line 1: .nan has no counterpart in JSON");
  EXPECT_EQ(AsJson("a:\n  ? [1]\n  : 2"), "error: line 2: a member name cannot be list");
  EXPECT_EQ(AsJson("~: 2"), "error: line 1: a member name cannot be null");
  EXPECT_EQ(AsJson("a: !!int x"), "error: line 1: \"x\" is not of its tag !!int");
}

TEST(Yaml, KeysBecomeText) {
  EXPECT_EQ(AsJson("{1: a, true: b, 1.5: c, no: d}"),
            R"({"1":"a","true":"b","1.5":"c","false":"d"})");
}

TEST(Yaml, AliasesAndMergesAreExpanded) {
  EXPECT_EQ(AsJson("a: &x {k: 1}\nb: *x"), R"({"a":{"k":1},"b":{"k":1}})");
  EXPECT_EQ(AsJson("a: &x {k: 1, l: 2}\nb:\n  l: 3\n  <<: *x\n  m: 4"),
            R"({"a":{"k":1,"l":2},"b":{"l":3,"m":4,"k":1}})");
  EXPECT_EQ(AsJson("a: &x {k: 1}\nb: &y {k: 2, l: 3}\nc:\n  <<: [*x, *y]"),
            R"({"a":{"k":1},"b":{"k":2,"l":3},"c":{"k":1,"l":3}})");
  EXPECT_EQ(AsJson("a: {'<<': 1}"), R"({"a":{"<<":1}})");
  EXPECT_EQ(AsJson("a:\n  <<: 1"), "error: line 2: << takes an object or a list of objects");
}

TEST(Yaml, FlowDocumentNeedNotBeJson) {
  EXPECT_EQ(AsJson("{a: 1}"), R"({"a":1})");
  EXPECT_EQ(AsJson("  {\"a\": 1,\n}  # comment"), R"({"a":1})");
}

TEST(Yaml, WrittenTextReadsBackAsTheSame) {
  for (std::string_view text : {"",
                                " ",
                                "a",
                                "a b",
                                "a: b",
                                "a:",
                                ":a",
                                "a #b",
                                "#a",
                                "- a",
                                "-",
                                "--- ",
                                "...",
                                "yes",
                                "null",
                                "~",
                                "0644",
                                "1e3",
                                "2026-01-02",
                                "12:30:45",
                                "0x1f",
                                ".inf",
                                "<<",
                                "=",
                                "!t",
                                "&a",
                                "*a",
                                "@a",
                                "`a",
                                "%a",
                                "'a'",
                                "\"a\"",
                                "a\\b",
                                "a\tb",
                                "\ta",
                                "a\nb",
                                "a\nb\n",
                                "a\nb\n\n",
                                "\na",
                                "\n",
                                "\n\n",
                                " a\nb",
                                "a\n b\n  c",
                                "a \nb",
                                "a\n",
                                "a\r\nb",
                                "\x01",
                                "\x7F",
                                "\xC2\x85",
                                "\xE2\x80\xA8",
                                "\xF0\x9F\x98\x80",
                                "\xEF\xBB\xBF",
                                "{a}",
                                "[a]",
                                "a, b",
                                "a]",
                                "?",
                                "? a",
                                "|",
                                ">",
                                "key with spaces",
                                "/etc/x",
                                "-Dx=y",
                                "#!/bin/sh\necho hi\n",
                                "a\n#b",
                                "a\n---\nb\n",
                                "trailing: ",
                                "ends with colon:"}) {
    Value value;
    value.kind = Value::Kind::kMap;
    const Value leaf = Value::String(std::string(text));
    Value list = Value::List();
    list.items = {leaf, leaf};
    value.members.push_back({std::string(text) + "k", 0, leaf});
    value.members.push_back({"list", 0, list});
    value.members.push_back({"last", 0, leaf});
    const std::string yaml = ToYaml(value);
    EXPECT_EQ(AsJson(yaml), ToJson(value)) << yaml;
  }
}

TEST(Yaml, OutputIsBlockStyle) {
  k8s::v1::Pod pod;
  pod.mutable_metadata()->set_name("web");
  auto* container = pod.mutable_spec()->add_containers();
  container->set_name("c");
  container->add_command("sh");
  container->add_command("echo a\necho b\n");
  container->add_command("yes");
  EXPECT_EQ(*EncodeYaml(pod, {.type = {"v1", "Pod"}}),
            "kind: Pod\n"
            "apiVersion: v1\n"
            "metadata:\n"
            "  name: web\n"
            "spec:\n"
            "  containers:\n"
            "  - name: c\n"
            "    command:\n"
            "    - sh\n"
            "    - |\n"
            "      echo a\n"
            "      echo b\n"
            "    - \"yes\"\n"
            "    resources: {}\n"
            "status: {}\n");
}

TEST(Tree, MergePatchFollowsRfc7386) {
  struct Row {
    std::string_view target, patch, result;
  };
  // The examples of RFC 7386, appendix A.
  constexpr Row kRows[] = {
      {R"({"a":"b"})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"b"})", R"({"b":"c"})", R"({"a":"b","b":"c"})"},
      {R"({"a":"b"})", R"({"a":null})", R"({})"},
      {R"({"a":"b","b":"c"})", R"({"a":null})", R"({"b":"c"})"},
      {R"({"a":["b"]})", R"({"a":"c"})", R"({"a":"c"})"},
      {R"({"a":"c"})", R"({"a":["b"]})", R"({"a":["b"]})"},
      {R"({"a":{"b":"c"}})", R"({"a":{"b":"d","c":null}})", R"({"a":{"b":"d"}})"},
      {R"({"a":[{"b":"c"}]})", R"({"a":[1]})", R"({"a":[1]})"},
      {R"(["a","b"])", R"(["c","d"])", R"(["c","d"])"},
      {R"({"a":"b"})", R"(["c"])", R"(["c"])"},
      {R"({"a":"foo"})", "null", "null"},
      {R"({"a":"foo"})", R"("bar")", R"("bar")"},
      {R"({"e":null})", R"({"a":1})", R"({"e":null,"a":1})"},
      {R"([1,2])", R"({"a":"b","c":null})", R"({"a":"b"})"},
      {R"({})", R"({"a":{"bb":{"ccc":null}}})", R"({"a":{"bb":{}}})"},
  };
  for (const Row& row : kRows) {
    Value target = *ParseJsonTree(row.target, {});
    MergePatch(*ParseJsonTree(row.patch, {}), &target);
    EXPECT_EQ(ToJson(target), row.result) << row.target << " + " << row.patch;
  }
}

TEST(Tree, TypeMetaIsPeeked) {
  const auto type = PeekTypeMeta("kind: Pod\napiVersion: v1\nspec: [broken, for, a, pod]");
  ASSERT_TRUE(type.ok());
  EXPECT_EQ(type->kind, "Pod");
  EXPECT_EQ(type->api_version, "v1");
  EXPECT_EQ(PeekTypeMeta("a: 1")->kind, "");
  EXPECT_FALSE(PeekTypeMeta("[]").ok());
  EXPECT_FALSE(PeekTypeMeta("").ok());
}

}  // namespace
}  // namespace keelson::proto
