// SPDX-License-Identifier: Apache-2.0
#include "proto/codec/strategic_patch.h"

#include <gtest/gtest.h>

#include <string>

#include "proto/codec/codec.h"
#include "proto/k8s/node.pb.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::proto {
namespace {

template <typename T>
std::string Patch(const std::string& before, const std::string& after) {
  T old_object, new_object;
  EXPECT_TRUE(DecodeYaml(before, &old_object, {.strict = true}).ok());
  EXPECT_TRUE(DecodeYaml(after, &new_object, {.strict = true}).ok());
  auto patch = StrategicPatch(old_object, new_object);
  return patch.ok() ? ToJson(*patch) : std::string(patch.status().message());
}

using k8s::v1::Node;
using k8s::v1::Pod;

TEST(StrategicPatchTest, EqualObjectsNeedNone) {
  EXPECT_EQ(Patch<Node>("{status: {capacity: {cpu: 2}}}", "{status: {capacity: {cpu: 2}}}"), "{}");
}

TEST(StrategicPatchTest, OnlyTheMembersThatDiffer) {
  EXPECT_EQ(Patch<Node>("{status: {capacity: {cpu: 2, memory: 1Gi, pods: 110}}}",
                        "{status: {capacity: {cpu: 4, memory: 1Gi, x/y: 1}}}"),
            R"({"status":{"capacity":{"cpu":"4","x/y":"1","pods":null}}})");
}

TEST(StrategicPatchTest, ListsWithoutAKeyAreReplaced) {
  EXPECT_EQ(Patch<Node>("{status: {volumesInUse: [a, b]}}", "{status: {volumesInUse: [b]}}"),
            R"({"status":{"volumesInUse":["b"]}})");
}

TEST(StrategicPatchTest, KeyedElementsChangeOnTheirOwn) {
  EXPECT_EQ(
      Patch<Pod>("{status: {conditions: [{type: Ready, status: \"False\"}, {type: Mine, status: x}]}}",
                 "{status: {conditions: [{type: Ready, status: \"True\"}, {type: Mine, status: x}]}}"),
      R"({"status":{"$setElementOrder/conditions":[{"type":"Ready"},{"type":"Mine"}],)"
      R"("conditions":[{"status":"True","type":"Ready"}]}})");
}

TEST(StrategicPatchTest, KeyedElementsComeAndGo) {
  EXPECT_EQ(Patch<Pod>("{status: {conditions: [{type: A, status: x}]}}",
                       "{status: {conditions: [{type: B, status: z}]}}"),
            R"({"status":{"$setElementOrder/conditions":[{"type":"B"}],"conditions":[)"
            R"({"type":"B","status":"z","lastProbeTime":null,"lastTransitionTime":null},)"
            R"({"type":"A","$patch":"delete"}]}})");
}

TEST(StrategicPatchTest, TwoAddressesOfOneTypeReplaceTheList) {
  EXPECT_EQ(Patch<Node>("{status: {addresses: [{type: InternalIP, address: 10.0.0.1}]}}",
                        "{status: {addresses: [{type: InternalIP, address: 10.0.0.1}, "
                        "{type: InternalIP, address: 'fd00::1'}]}}"),
            R"({"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"},)"
            R"({"type":"InternalIP","address":"fd00::1"},{"$patch":"replace"}]}})");
}

TEST(StrategicPatchTest, SetsOfScalarsKeepTheElementsOfOthers) {
  EXPECT_EQ(Patch<Node>("{metadata: {finalizers: [a, b]}}", "{metadata: {finalizers: [b, c]}}"),
            R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["a"],)"
            R"("$setElementOrder/finalizers":["b","c"],"finalizers":["c"]}})");
}

}  // namespace
}  // namespace keelson::proto
