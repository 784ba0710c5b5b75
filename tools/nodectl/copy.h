// SPDX-License-Identifier: Apache-2.0
// One side of `nodectl cp`. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace keelson::nodectl {

struct CopyPlace {
  std::string ns;   // empty: any
  std::string pod;  // empty: a path of ours
  std::string path;
};

// [NAMESPACE/]POD:PATH, or a path. What begins with / or . is a path.
absl::StatusOr<CopyPlace> ParseCopyPlace(const std::string& text);

// /a/b/ is b in /a; / and . are themselves.
struct SplitPath {
  std::string dir, base;
};
SplitPath Split(std::string path);

}  // namespace keelson::nodectl
