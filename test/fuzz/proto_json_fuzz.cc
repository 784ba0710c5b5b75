// SPDX-License-Identifier: Apache-2.0
// JSON and Kubernetes protobuf from the network: reading ends in an error or in something we can
// write again unchanged.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "proto/codec/codec.h"
#include "proto/k8s/kubelet_config.pb.h"
#include "proto/k8s/meta.pb.h"
#include "proto/k8s/node.pb.h"

namespace {

using namespace keelson::proto;

// Quantities and times inside are text from anywhere: what is written once must stay the same.
void CheckStable(const google::protobuf::Message& message) {
  const auto json = EncodeJson(message);
  if (!json.ok()) return;  // raw JSON that is not JSON
  const std::unique_ptr<google::protobuf::Message> again(message.New());
  if (!DecodeJson(*json, again.get(), {.strict = true}).ok())
    return;  // a quantity that is no quantity
  KEELSON_CHECK(*EncodeJson(*again) == *json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const DecodeOptions options{.max_bytes = 1 << 16, .max_nodes = 10'000};

  const auto tree = ParseJsonTree(text, options);
  if (tree.ok()) {
    const auto again = ParseJsonTree(ToJson(*tree), options);
    KEELSON_CHECK(again.ok() && ToJson(*again) == ToJson(*tree));
    k8s::kubelet::v1beta1::KubeletConfiguration config;
    if (DecodeTree(*tree, &config, options).ok()) CheckStable(config);
    k8s::meta::v1::WatchEvent event;
    if (DecodeTree(*tree, &event, options).ok()) CheckStable(event);
  }
  k8s::v1::Node node;
  if (DecodeKubeProtobuf(text, nullptr, &node).ok()) CheckStable(node);
  return 0;
}
