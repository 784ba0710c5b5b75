// SPDX-License-Identifier: Apache-2.0
// Manifests: whatever text comes, reading it ends in an error or in a message that survives being
// written and read again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "proto/codec/codec.h"
#include "proto/k8s/pod.pb.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keelson::proto;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const DecodeOptions options{.max_bytes = 1 << 16, .max_nodes = 10'000, .source = "pod.yaml"};
  std::vector<DecodeWarning> warnings;
  k8s::v1::Pod pod;
  if (!DecodeYaml(text, &pod, options, &warnings).ok()) return 0;

  const auto yaml = EncodeYaml(pod), json = EncodeJson(pod);
  KEELSON_CHECK(yaml.ok() && json.ok());
  k8s::v1::Pod again;
  KEELSON_CHECK(DecodeYaml(*yaml, &again, {.strict = true}).ok());
  KEELSON_CHECK(*EncodeJson(again) == *json);
  return 0;
}
