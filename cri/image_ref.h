// SPDX-License-Identifier: Apache-2.0
// Names of images, as container registries' clients read them: busybox, reg:5000/team/app:v1,
// quay.io/x/y@sha256:... Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace keelson::cri {

struct ImageRef {
  std::string registry;    // docker.io, quay.io, 127.0.0.1:5000
  std::string repository;  // library/busybox
  std::string tag;         // empty when there is only a digest; "latest" when there is neither
  std::string digest;      // sha256:..., or empty
  std::string FullName() const { return registry + "/" + repository; }
};

// InvalidArgument: "couldn't parse image name "X": invalid reference format" and the like.
absl::StatusOr<ImageRef> ParseImageRef(std::string_view image);

// The name with `:latest` when it has neither tag nor digest; else as written, so that a short name
// stays short and the runtime's own rules for it apply.
absl::StatusOr<std::string> WithDefaultTag(const std::string& image);

}  // namespace keelson::cri
