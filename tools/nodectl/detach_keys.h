// SPDX-License-Identifier: Apache-2.0
// Keys that leave a container's terminal while its program goes on (kubectl attach --detach-keys).
// Pure.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace keelson::nodectl {

class DetachKeys {
 public:
  // No keys: nothing leaves.
  DetachKeys() = default;
  // Single characters and ctrl-X with X one of a to z and @ [ \ ] ^ _, separated by commas. Empty:
  // no keys. InvalidArgument names what is none.
  static absl::StatusOr<DetachKeys> Parse(const std::string& text);

  // Adds to `out` what was typed, but for the beginning of the keys, which waits for what follows.
  // True once all of them were typed in order: what comes behind is nobody's.
  bool Take(std::string_view typed, std::string* out);

 private:
  std::string keys_;
  size_t matched_ = 0;
};

}  // namespace keelson::nodectl
