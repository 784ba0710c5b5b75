// SPDX-License-Identifier: Apache-2.0
// Kubernetes' strategic merge patch: the difference of two objects, in which lists of objects with
// a merge key change element by element, so that writers of other elements are left alone.
// Content type application/strategic-merge-patch+json. Any thread.
#pragma once

#include "absl/status/statusor.h"
#include "proto/codec/value.h"

namespace google::protobuf {
class Message;
}

namespace keelson::proto {

// What turns `before` into `after`, two messages of one type; an empty map when nothing differs.
// The type's field options say how lists merge (patch_strategy, merge_key). A list whose keys are
// not unique, as a dual-stack node's addresses, is replaced as a whole ($patch: replace).
absl::StatusOr<Value> StrategicPatch(const google::protobuf::Message& before,
                                     const google::protobuf::Message& after);

}  // namespace keelson::proto
