// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cerrno>
#include <string_view>

#include "absl/status/status.h"
#include "base/strings.h"

namespace keelson::base {

// The present errno as a Status that names what was tried, e.g. ErrnoStatus("open", path).
// The code is absl's canonical mapping of errno: ENOENT is NotFound, EEXIST AlreadyExists, ...
inline absl::Status ErrnoStatus(std::string_view call, std::string_view object = {}) {
  const int error = errno;
  return absl::ErrnoToStatus(error, object.empty() ? std::string(call)
                                                   : StrCat(call, " ", object));
}

// `status` with `prefix: ` before its text; OK stays OK.
absl::Status Annotate(const absl::Status& status, std::string_view prefix);

}  // namespace keelson::base

// Returns the status of `expr` from the function when it is not OK.
#define RETURN_IF_ERROR(expr)                               \
  do {                                                      \
    if (auto _status = (expr); !_status.ok()) return _status; \
  } while (false)
#define CO_RETURN_IF_ERROR(expr)                               \
  do {                                                         \
    if (auto _status = (expr); !_status.ok()) co_return _status; \
  } while (false)
