// SPDX-License-Identifier: Apache-2.0
// Pods of tests, from YAML.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "base/strings.h"
#include "proto/codec/codec.h"
#include "proto/k8s/pod.pb.h"

namespace keelson::cri {

inline k8s::v1::Pod PodOf(const std::string& yaml) {
  k8s::v1::Pod pod;
  proto::DecodeOptions strict;
  strict.strict = true;
  auto status = proto::DecodeYaml(yaml, &pod, strict);
  EXPECT_TRUE(status.ok()) << status.ToString();
  return pod;
}

// A pod called default/web with uid u1 and this spec, indented by two.
inline k8s::v1::Pod PodWithSpec(const std::string& spec) {
  return PodOf("metadata: {name: web, namespace: default, uid: u1}\nspec:\n" + spec);
}

}  // namespace keelson::cri
