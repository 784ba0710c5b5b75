// SPDX-License-Identifier: Apache-2.0
// What the codec says about documents that are wrong, and that no document costs more than its
// bounds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/cri/api.pb.h"
#include "proto/k8s/kubelet_config.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::proto {
namespace {

using k8s::v1::Pod;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class DecodeTest : public ::testing::Test {
 protected:
  // The error text, empty when the document is fine.
  std::string Strictly(std::string_view yaml) { return Decode(yaml, true); }
  std::string Leniently(std::string_view yaml) { return Decode(yaml, false); }

  std::string Decode(std::string_view yaml, bool strict) {
    warnings_.clear();
    const absl::Status status =
        DecodeYaml(yaml, &pod_, {.strict = strict, .source = "pod.yaml"}, &warnings_);
    return std::string(base::Message(status));
  }

  std::string Warnings() const {
    std::string text;
    for (const DecodeWarning& warning : warnings_) {
      base::StrAppend(&text, warning.line, " ", warning.path, ": ", warning.message, "\n");
    }
    return text;
  }

  Pod pod_;
  std::vector<DecodeWarning> warnings_;
};

TEST_F(DecodeTest, ManifestFillsTheMessage) {
  EXPECT_EQ(Strictly(R"(apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web, "1": "2"}
spec:
  terminationGracePeriodSeconds: 5
  containers:
  - name: c
    image: busybox
    command: [sh, -c, "sleep 1"]
    ports:
    - containerPort: 80
    resources:
      limits: {cpu: 0.5, memory: 64Mi}
    livenessProbe:
      httpGet: {path: /, port: http}
      periodSeconds: 3
    envFrom:
    - configMapRef: {name: cm, optional: true}
  volumes:
  - name: v
    secret: {secretName: s, defaultMode: 0400}
)"),
            "");
  EXPECT_EQ(pod_.metadata().labels().at("app"), "web");
  EXPECT_EQ(pod_.metadata().labels().at("1"), "2");
  EXPECT_EQ(pod_.spec().terminationgraceperiodseconds(), 5);
  const auto& container = pod_.spec().containers(0);
  EXPECT_EQ(container.command(2), "sleep 1");
  EXPECT_EQ(container.ports(0).containerport(), 80);
  EXPECT_EQ(container.resources().limits().at("cpu").string(), "500m");
  EXPECT_EQ(container.livenessprobe().handler().httpget().port().strval(), "http");
  EXPECT_EQ(container.livenessprobe().periodseconds(), 3);
  EXPECT_EQ(container.envfrom(0).configmapref().localobjectreference().name(), "cm");
  EXPECT_TRUE(container.envfrom(0).configmapref().optional());
  EXPECT_EQ(pod_.spec().volumes(0).volumesource().secret().defaultmode(), 0400);
}

TEST_F(DecodeTest, WrongTypeIsNamedWithLineAndPath) {
  EXPECT_EQ(Strictly("spec:\n  containers:\n  - name: c\n    ports:\n    - containerPort: abc\n"),
            "pod.yaml:5: spec.containers[0].ports[0].containerPort: expected integer, got string "
            "\"abc\"");
  EXPECT_EQ(Strictly("metadata:\n  labels:\n    app: true\n"),
            "pod.yaml:3: metadata.labels[app]: expected string, got bool true");
  EXPECT_EQ(Strictly("metadata: {name: 5}"),
            "pod.yaml:1: metadata.name: expected string, got number 5");
  EXPECT_EQ(Strictly("spec: {hostNetwork: 'yes'}"),
            "pod.yaml:1: spec.hostNetwork: expected bool, got string \"yes\"");
  EXPECT_EQ(Strictly("spec: {containers: {name: c}}"),
            "pod.yaml:1: spec.containers: expected list, got object");
  EXPECT_EQ(Strictly("spec: []"), "pod.yaml:1: spec: expected object, got list");
  EXPECT_EQ(Strictly("[]"), "pod.yaml:1: expected object, got list");
  EXPECT_EQ(Strictly("metadata: {labels: [a]}"),
            "pod.yaml:1: metadata.labels: expected object, got list");
  EXPECT_EQ(Strictly("metadata: {creationTimestamp: soon}"),
            "pod.yaml:1: metadata.creationTimestamp: expected a time such as 2026-01-02T03:04:05Z, "
            "got string \"soon\"");
}

TEST_F(DecodeTest, NumbersOutsideTheFieldAreRefused) {
  EXPECT_EQ(Strictly("spec: {priority: 2147483648}"),
            "pod.yaml:1: spec.priority: 2147483648 does not fit into 32 bits");
  EXPECT_EQ(
      Strictly("spec: {activeDeadlineSeconds: 9223372036854775808}"),
      "pod.yaml:1: spec.activeDeadlineSeconds: 9223372036854775808 does not fit into 64 bits");
  EXPECT_EQ(Strictly("spec: {priority: 1.5}"),
            "pod.yaml:1: spec.priority: expected integer, got number 1.5");
  EXPECT_EQ(Strictly("spec: {priority: -2147483648}"), "");
  EXPECT_EQ(pod_.spec().priority(), INT32_MIN);
  EXPECT_EQ(Strictly("spec: {priority: 3.0}"), "") << "YAML has one number, as upstream's reader";
}

TEST_F(DecodeTest, AllProblemsAreToldAtOnce) {
  EXPECT_EQ(Strictly("metadata:\n  name: 1\nspec:\n  hostPID: 2\n  nodeNames: x\n"),
            "pod.yaml:2: metadata.name: expected string, got number 1\n"
            "pod.yaml:4: spec.hostPID: expected bool, got number 2\n"
            "pod.yaml:5: spec.nodeNames: unknown field");
  std::string many = "spec:\n";
  for (int i = 0; i < 30; ++i) base::StrAppend(&many, "  x", i, ": 1\n");
  EXPECT_THAT(Strictly(many), HasSubstr("\npod.yaml: 10 more problems"));
}

TEST_F(DecodeTest, UnknownFieldIsAnErrorOnlyInStrictMode) {
  constexpr std::string_view kYaml = "spec:\n  containers:\n  - name: c\n    imagee: x\n";
  EXPECT_EQ(Strictly(kYaml), "pod.yaml:4: spec.containers[0].imagee: unknown field");
  EXPECT_EQ(Leniently(kYaml), "");
  EXPECT_EQ(Warnings(), "4 spec.containers[0].imagee: unknown field\n");
  EXPECT_EQ(pod_.spec().containers(0).name(), "c");
}

TEST_F(DecodeTest, FieldNamesAreCaseSensitive) {
  EXPECT_EQ(Strictly("Spec: {}"), "pod.yaml:1: Spec: unknown field");
  EXPECT_EQ(Strictly("metadata: {Name: x}"), "pod.yaml:1: metadata.Name: unknown field");
  EXPECT_EQ(Strictly("spec: {ephemeralContainers: [{ephemeralContainerCommon: {}}]}"),
            "pod.yaml:1: spec.ephemeralContainers[0].ephemeralContainerCommon: unknown field")
      << "an inlined member has no name of its own";
}

TEST_F(DecodeTest, TypeMetaBelongsToWholeObjectsOnly) {
  EXPECT_EQ(Strictly("{apiVersion: v1, kind: Pod}"), "");
  EXPECT_EQ(Strictly("spec: {kind: Pod}"), "pod.yaml:1: spec.kind: unknown field");
  k8s::v1::PodList list;
  const DecodeOptions strict{.strict = true};
  EXPECT_TRUE(
      DecodeYaml("{kind: PodList, items: [{apiVersion: v1, kind: Pod}]}", &list, strict).ok());
  EXPECT_FALSE(DecodeYaml("{items: [{spec: {kind: Pod}}]}", &list, strict).ok());
  ASSERT_EQ(list.items_size(), 1);
}

TEST_F(DecodeTest, DuplicateIsAnErrorOnlyInStrictMode) {
  constexpr std::string_view kYaml = "metadata:\n  name: a\n  uid: u\n  name: b\n";
  EXPECT_EQ(Strictly(kYaml), "pod.yaml:4: metadata.name: given twice, first on line 2");
  EXPECT_EQ(Leniently(kYaml), "");
  EXPECT_EQ(Warnings(), "4 metadata.name: given twice, first on line 2\n");
  EXPECT_EQ(pod_.metadata().name(), "b");
  EXPECT_EQ(pod_.metadata().uid(), "u");
  EXPECT_EQ(Strictly("{\"metadata\": {\"name\": \"a\",\n\"name\": \"b\"}}"),
            "pod.yaml:2: metadata.name: given twice, first on line 1");
}

TEST_F(DecodeTest, NullMeansNotThere) {
  EXPECT_EQ(
      Strictly("metadata: {name: null, creationTimestamp: null, labels: ~}\nspec:\nstatus: {}"),
      "");
  EXPECT_FALSE(pod_.metadata().has_name());
  EXPECT_FALSE(pod_.has_spec());
  EXPECT_TRUE(pod_.has_status());
  EXPECT_EQ(Strictly("spec: {containers: [{command: [a, null], env: [null]}]}"), "");
  EXPECT_EQ(pod_.spec().containers(0).command(1), "");
  EXPECT_EQ(pod_.spec().containers(0).env_size(), 1);
}

TEST_F(DecodeTest, EmptyDocumentIsRefused) {
  for (std::string_view empty : {"", "\n", "# nothing\n", "---\n", "null", "---\n---\n"}) {
    EXPECT_EQ(Strictly(empty), "pod.yaml: the document is empty") << empty;
  }
}

TEST_F(DecodeTest, OldContentIsReplaced) {
  EXPECT_EQ(Strictly("metadata: {name: a, uid: u}"), "");
  EXPECT_EQ(Strictly("metadata: {name: b}"), "");
  EXPECT_EQ(pod_.metadata().uid(), "");
}

TEST_F(DecodeTest, JsonSyntaxErrorsCarryTheLine) {
  EXPECT_EQ(Strictly("{\"metadata\": {\n \"name\": ]}"),
            "pod.yaml:2: expected a value in JSON, got ']'");
  struct Row {
    std::string_view json, message;
  };
  constexpr Row kRows[] = {
      {"", "line 1: JSON ends where a value should be"},
      {"{", "line 1: JSON ends where a member name in quotes should be"},
      {"{\"a\":1,}", "line 1: expected a member name in quotes in JSON, got '}'"},
      {"[1,]", "line 1: expected a value in JSON, got ']'"},
      {"{\"a\" 1}", "line 1: expected ':' in JSON, got '1'"},
      {"[1 2]", "line 1: expected ',' or ']' in JSON, got '2'"},
      {"\"a\nb\"", "line 1: expected '\"' at the end of a string in JSON"},
      {"\"\\x\"", "line 1: expected an escape in JSON, got 'x'"},
      {"\"\\u12g4\"", "line 1: expected four hexadecimal digits in JSON, got '1'"},
      {"01", "line 1: more text after the end of the JSON document"},
      {"1.", "line 1: JSON ends where a digit should be"},
      {"1e", "line 1: JSON ends where a digit should be"},
      {"-", "line 1: JSON ends where a digit should be"},
      {"nul", "line 1: expected a value in JSON, got 'n'"},
      {"{} {}", "line 1: more text after the end of the JSON document"},
      {"\xC3\x28", "line 1: not valid UTF-8"},
      {"\n\"\xED\xA0\x80\"", "line 2: not valid UTF-8"},
  };
  for (const Row& row : kRows) {
    const auto tree = ParseJsonTree(row.json, {});
    ASSERT_FALSE(tree.ok()) << row.json;
    EXPECT_EQ(base::Message(tree.status()), row.message) << row.json;
  }
}

TEST_F(DecodeTest, SurrogatesBecomeOneCharacterOrAReplacement) {
  EXPECT_EQ(ParseJsonTree("\"\\ud83d\\ude00\"", {})->text, "\xF0\x9F\x98\x80");
  EXPECT_EQ(ParseJsonTree("\"\\ud83dx\"", {})->text, "\xEF\xBF\xBDx");
  EXPECT_EQ(ParseJsonTree("\"\\ud83d\\u0041\"", {})->text,
            "\xEF\xBF\xBD"
            "A");
  EXPECT_EQ(ParseJsonTree("\"\\ude00\\/\\b\"", {})->text, "\xEF\xBF\xBD/\b");
}

TEST_F(DecodeTest, EnumsOfCriAreNames) {
  runtime::v1::PortMapping port;
  ASSERT_TRUE(DecodeJson(R"({"protocol":"SCTP","hostPort":80})", &port, {.strict = true}).ok());
  EXPECT_EQ(port.protocol(), runtime::v1::SCTP);
  EXPECT_EQ(*EncodeJson(port), R"({"protocol":"SCTP","hostPort":80})");
  EXPECT_EQ(base::Message(DecodeJson(R"({"protocol":"X"})", &port, {})),
            "line 1: protocol: expected a value of Protocol, got string \"X\"");
}

// Documents made to hurt.
std::string Repeat(std::string_view text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

TEST_F(DecodeTest, DepthIsBounded) {
  EXPECT_EQ(Strictly(Repeat("[", 5'000'000)), "pod.yaml:1: nested deeper than 100 levels");
  EXPECT_EQ(Strictly(Repeat("{\"a\":", 100'000)), "pod.yaml:1: nested deeper than 100 levels");
  EXPECT_EQ(Strictly("a: " + Repeat("[", 1'000)), "pod.yaml:1: nested deeper than 100 levels");
  EXPECT_EQ(Strictly(Repeat("- ", 100'000)), "pod.yaml:1: nested deeper than 100 levels");
  EXPECT_EQ(Strictly("a: &x {b: {c: [1]}}\nd: " + Repeat("[", 97) + "*x" + Repeat("]", 97)),
            "pod.yaml:2: nested deeper than 100 levels");
}

TEST_F(DecodeTest, SizeIsBounded) {
  EXPECT_EQ(Strictly(std::string((10 << 20) + 1, ' ')),
            "pod.yaml: 10485761 bytes, more than the limit of 10485760");
  for (std::string_view piece : {"x: {}, ", "x,\n", "\"a\", "}) {
    EXPECT_EQ(Strictly("a:\n  [" + Repeat(piece, 200'000)),
              "pod.yaml:1: more than 524288 bytes in one YAML scalar, [] or {}")
        << piece;
  }
  EXPECT_EQ(Strictly("metadata: {name: '" + std::string(400'000, 'x') + "'}"), "");
  EXPECT_EQ(base::Message(ParseJsonTree("[1,2,3]", {.max_nodes = 3}).status()),
            "line 1: more than 3 values");
  EXPECT_THAT(std::string(base::Message(ParseTree("a: [1,2,3]", {.max_nodes = 3}).status())),
              HasSubstr("more than 3 values"));
}

TEST_F(DecodeTest, AliasBombIsRefused) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    base::StrAppend(&bomb, "a", i, ": &a", i, " [", Repeat(base::StrCat("*a", i - 1, ","), 9), "*a",
                    i - 1, "]\n");
  }
  EXPECT_THAT(Strictly(bomb), HasSubstr("more than 500000 values once its aliases are expanded"));
  std::string heavy =
      "a: &a \"" + std::string(200'000, 'x') + "\"\nb: [" + Repeat("*a,", 1000) + "*a]\n";
  EXPECT_THAT(Strictly(heavy), HasSubstr("bytes once its aliases are expanded"));
}

TEST_F(DecodeTest, AliasCycleIsRefused) {
  EXPECT_EQ(Strictly("metadata: &m\n  labels: *m\n"), "pod.yaml:2: an alias inside its own anchor");
  EXPECT_THAT(Strictly("metadata: *nowhere\n"), HasSubstr("pod.yaml:1: YAML: "));
}

TEST_F(DecodeTest, SecondDocumentIsRefused) {
  EXPECT_EQ(Strictly("metadata: {name: a}\n---\nmetadata: {name: b}\n"),
            "pod.yaml:3: a second document; put each object into a file of its own");
  EXPECT_EQ(Strictly("---\nmetadata: {name: a}\n---\n"), "");
}

TEST_F(DecodeTest, StrayBracketsEnd) {
  for (std::string_view yaml : {"]", "}", "a: 1\n]", "- ]", "'a' ]", ",", ": :", "? ]", "%A\n]"}) {
    EXPECT_THAT(Strictly(yaml), Not(IsEmpty())) << yaml;
  }
  EXPECT_EQ(Strictly("-\n,"), "pod.yaml:2: YAML: text that belongs to nothing");
}

TEST_F(DecodeTest, BytesThatAreNotTextAreRefused) {
  EXPECT_EQ(Strictly("metadata:\n  name: a\x04\n"), "pod.yaml:2: control character in YAML");
  EXPECT_EQ(Strictly(std::string("a: \0b", 5)), "pod.yaml:1: control character in YAML");
  EXPECT_EQ(Strictly("a: \xFF"), "pod.yaml:1: not valid UTF-8");
  EXPECT_EQ(Strictly("\xFF\xFE"
                     "a"),
            "pod.yaml:1: not valid UTF-8");
  EXPECT_EQ(Strictly("\xEF\xBB\xBFmetadata: {name: bom}"), "");
}

TEST_F(DecodeTest, KubeletConfigurationKnowsUnsetFromZero) {
  k8s::kubelet::v1beta1::KubeletConfiguration config;
  const absl::Status status = DecodeYaml(R"(apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
syncFrequency: 10s
maxPods: 0
healthzPort: 0
enableServer: off
evictionHard: {memory.available: 5%}
logging: {flushFrequency: 5000000000, options: {json: {infoBufferSize: 64Ki}}}
reservedMemory: [{numaNode: 1, limits: {memory: 1Gi}}]
registerWithTaints: [{key: k, effect: NoSchedule}]
staticPodURLHeader: {X: [a, b]}
)",
                                         &config, {.strict = true});
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(config.syncfrequency().duration(), 10'000'000'000);
  EXPECT_TRUE(config.has_healthzport());
  EXPECT_FALSE(config.has_registernode());
  EXPECT_TRUE(config.has_enableserver());
  EXPECT_FALSE(config.enableserver());
  EXPECT_EQ(config.logging().flushfrequency().duration(), 5'000'000'000);
  EXPECT_EQ(config.staticpodurlheader().at("X").items(1), "b");
  EXPECT_EQ(config.reservedmemory(0).limits().at("memory").string(), "1Gi");
}

}  // namespace
}  // namespace keelson::proto
