// SPDX-License-Identifier: Apache-2.0
// Commands in containers: what their ends are called. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proto/cri/api.pb.h"

namespace keelson::probes {

std::string Join(const std::vector<std::string>& words, std::string_view separator);

// Standard output, then standard error.
std::string ExecOutput(const runtime::v1::ExecSyncResponse& response);
std::string ExecErrors(const runtime::v1::ExecSyncResponse& response);

// In double quotes, with Go's escapes.
std::string Quoted(std::string_view text);

}  // namespace keelson::probes
