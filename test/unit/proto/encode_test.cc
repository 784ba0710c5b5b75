// SPDX-License-Identifier: Apache-2.0
// What we write is what Kubernetes 1.36 writes: empty members, order, the protobuf envelope.
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/k8s/kubelet_config.pb.h"
#include "proto/k8s/node.pb.h"
#include "proto/k8s/objects.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::proto {
namespace {

using k8s::v1::Pod;

TEST(EncodeJson, EmptyMembersAreThoseOfUpstream) {
  Pod pod;
  EXPECT_EQ(
      *EncodeJson(pod, {.type = {"v1", "Pod"}}),
      R"({"kind":"Pod","apiVersion":"v1","metadata":{},"spec":{"containers":null},"status":{}})");
  k8s::v1::PodList list;
  EXPECT_EQ(*EncodeJson(list), R"({"metadata":{},"items":null})");
  k8s::v1::Event event;
  EXPECT_EQ(
      *EncodeJson(event),
      R"({"metadata":{},"involvedObject":{},"source":{},"firstTimestamp":null,)"
      R"("lastTimestamp":null,"eventTime":null,"reportingComponent":"","reportingInstance":""})");
}

TEST(EncodeJson, ZeroIsWrittenWhereItDiffersFromUnset) {
  Pod pod;
  pod.mutable_spec()->set_terminationgraceperiodseconds(0);  // a pointer in Go
  pod.mutable_spec()->set_hostnetwork(false);                // not a pointer
  pod.mutable_spec()->set_restartpolicy("");
  auto* status = pod.mutable_status()->add_containerstatuses();
  status->set_name("c");
  status->mutable_state()->mutable_terminated()->mutable_startedat();
  EXPECT_EQ(*EncodeJson(pod),
            R"({"metadata":{},"spec":{"containers":null,"terminationGracePeriodSeconds":0},)"
            R"("status":{"containerStatuses":[{"name":"c","state":{"terminated":{"exitCode":0,)"
            R"("startedAt":null,"finishedAt":null}},"lastState":{},"ready":false,"restartCount":0,)"
            R"("image":"","imageID":""}]}})");
}

TEST(EncodeJson, InlinedMembersStandInTheirParent) {
  Pod pod;
  auto* volume = pod.mutable_spec()->add_volumes();
  volume->set_name("v");
  volume->mutable_volumesource()->mutable_hostpath()->set_path("/x");
  auto* env = pod.mutable_spec()->add_containers()->add_env();
  env->set_name("E");
  auto* key = env->mutable_valuefrom()->mutable_secretkeyref();
  key->mutable_localobjectreference()->set_name("s");
  key->set_key("k");
  EXPECT_EQ(*EncodeJson(pod.spec()),
            R"({"volumes":[{"name":"v","hostPath":{"path":"/x"}}],"containers":[{"name":"",)"
            R"("env":[{"name":"E","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}],)"
            R"("resources":{}}]})");
}

TEST(EncodeJson, MapsAreSortedAndTextIsEscaped) {
  k8s::v1::ConfigMap map;
  (*map.mutable_data())["b"] = "quote \" slash \\ nl \n ctrl \x01 <&>";
  (*map.mutable_data())["a"] = "\xFF\xC3\xA9";
  EXPECT_EQ(*EncodeJson(map),
            "{\"metadata\":{},\"data\":{\"a\":\"\xEF\xBF\xBD\xC3\xA9\","
            "\"b\":\"quote \\\" slash \\\\ nl \\n ctrl \\u0001 <&>\"}}");
}

TEST(EncodeJson, PrettyIsIndented) {
  k8s::v1::ConfigMap map;
  (*map.mutable_data())["a"] = "1";
  EXPECT_EQ(*EncodeJson(map, {.pretty = true}),
            "{\n  \"metadata\": {},\n  \"data\": {\n    \"a\": \"1\"\n  }\n}\n");
}

TEST(EncodeJson, EncodingLeavesTheMessageAlone) {
  k8s::v1::Node node;
  (*node.mutable_status()->mutable_capacity())["cpu"].set_string("2");
  const size_t before = node.SpaceUsedLong();
  ASSERT_TRUE(EncodeJson(node).ok());
  EXPECT_EQ(node.SpaceUsedLong(), before);
}

TEST(EncodeJson, KubeletConfigurationHasItsDurations) {
  k8s::kubelet::v1beta1::KubeletConfiguration config;
  config.mutable_syncfrequency()->set_duration(60'000'000'000);
  const std::string json = *EncodeJson(config);
  EXPECT_NE(json.find(R"("syncFrequency":"1m0s","fileCheckFrequency":"0s")"), std::string::npos)
      << json;
  EXPECT_NE(json.find(R"("authentication":{"x509":{},"webhook":{"cacheTTL":"0s"},"anonymous":{}})"),
            std::string::npos)
      << json;
}

TEST(KubeProtobuf, EnvelopeIsMagicTypeAndContent) {
  k8s::v1::Namespace space;
  space.mutable_metadata()->set_name("x");
  const std::string bytes = EncodeKubeProtobuf(space, {"v1", "Namespace"});
  const std::string expected = std::string("k8s\0", 4) +
                               "\x0A\x0F\x0A\x02v1\x12\x09Namespace\x12\x05\x0A\x03\x0A\x01x\x1A" +
                               std::string("\0\x22\0", 3);
  // TypeMeta is apiVersion = 1, kind = 2; then raw = 2, contentEncoding = 3, contentType = 4.
  EXPECT_EQ(bytes, expected);

  TypeMeta type;
  k8s::v1::Namespace again;
  ASSERT_TRUE(DecodeKubeProtobuf(bytes, &type, &again).ok());
  EXPECT_EQ(type.api_version, "v1");
  EXPECT_EQ(type.kind, "Namespace");
  EXPECT_EQ(again.metadata().name(), "x");
}

TEST(KubeProtobuf, FieldsOfALaterVersionSurvive) {
  Pod pod;
  pod.mutable_spec()->set_nodename("n");
  auto* unknown = pod.GetReflection()->MutableUnknownFields(&pod);
  unknown->AddLengthDelimited(1999, "later");
  auto* inner = pod.spec().GetReflection()->MutableUnknownFields(pod.mutable_spec());
  inner->AddVarint(1998, 7);
  Pod again;
  const std::string bytes = EncodeKubeProtobuf(pod, {"v1", "Pod"});
  ASSERT_TRUE(DecodeKubeProtobuf(bytes, nullptr, &again).ok());
  EXPECT_EQ(EncodeKubeProtobuf(again, {"v1", "Pod"}), bytes);
  EXPECT_EQ(again.GetReflection()->GetUnknownFields(again).field_count(), 1);
}

TEST(KubeProtobuf, BrokenBytesAreRefused) {
  Pod pod;
  pod.mutable_metadata()->set_name("x");
  const std::string good = EncodeKubeProtobuf(pod, {"v1", "Pod"});
  const auto error = [](std::string_view bytes, size_t max = 1 << 20) {
    Pod out;
    return std::string(base::Message(DecodeKubeProtobuf(bytes, nullptr, &out, max)));
  };
  EXPECT_EQ(error(""), "Kubernetes protobuf: does not start with \"k8s\\0\"");
  EXPECT_EQ(error("{\"kind\":\"Pod\"}"), "Kubernetes protobuf: does not start with \"k8s\\0\"");
  EXPECT_EQ(error(good.substr(0, good.size() - 5)),
            "Kubernetes protobuf: the envelope is truncated or malformed");
  EXPECT_EQ(error(good, 8),
            base::StrCat("Kubernetes protobuf: ", good.size(), " bytes, more than the limit of 8"));
  std::string inside = std::string("k8s\0", 4) +
                       "\x12\x03\x0A\x7F"
                       "a";
  EXPECT_EQ(error(inside), "Kubernetes protobuf: the  inside is malformed");
  std::string zipped = good + "\x1A\x04gzip";
  EXPECT_EQ(error(zipped), "Kubernetes protobuf: content is  gzip, expected plain protobuf");
}

}  // namespace
}  // namespace keelson::proto
