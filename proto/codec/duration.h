// SPDX-License-Identifier: Apache-2.0
// Durations as text, the way Go's time.ParseDuration reads them. base::GoDuration prints them.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"
#include "base/time.h"

namespace keelson::proto {

// "1h30m", "-1.5s", "300ms", "0". Units: ns us µs ms s m h. InvalidArgument for anything else, also
// for a bare number other than 0 and for more than int64 nanoseconds (292 years).
absl::StatusOr<base::Nanos> ParseGoDuration(std::string_view text);

}  // namespace keelson::proto
