// SPDX-License-Identifier: Apache-2.0
// What a failed CRI call says. The status' code is the gRPC code, its text names the call and its
// object ("CRI StartContainer container 0123456789abc: ..."); the runtime's own words can be had
// alone, because pod statuses and events show exactly those. Any thread; no state.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace keelson::cri {

// A status of `code` whose text is "CRI <call>: <message>". REQUIRES: no ": " in `call`.
absl::Status CallError(absl::StatusCode code, std::string_view call, std::string_view message);

// The runtime's own words; the whole text when `status` does not come from a CRI call.
std::string RuntimeMessage(const absl::Status& status);

// As users of Kubernetes know it: "rpc error: code = NotFound desc = no such image".
std::string GrpcErrorText(const absl::Status& status);

}  // namespace keelson::cri
