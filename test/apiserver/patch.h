// SPDX-License-Identifier: Apache-2.0
// The server's side of patches.
#pragma once

#include "absl/status/status.h"
#include "kubelet/client/api_server.h"
#include "proto/codec/value.h"

namespace keelson::apiserver {

// Changes `object`. InvalidArgument: the patch does not fit.
absl::Status ApplyPatch(kubelet::client::PatchType type, const proto::Value& patch,
                        google::protobuf::Message* object);

}  // namespace keelson::apiserver
