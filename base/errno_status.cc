// SPDX-License-Identifier: Apache-2.0
#include "base/errno_status.h"

namespace keelson::base {

absl::Status Annotate(const absl::Status& status, std::string_view prefix) {
  if (status.ok()) return status;
  return absl::Status(status.code(), StrCat(prefix, ": ", Message(status)));
}

}  // namespace keelson::base
