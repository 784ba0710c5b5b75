// SPDX-License-Identifier: Apache-2.0
// Messages that are one value in JSON: times, durations, quantities, int-or-string, raw JSON.
#pragma once

#include <google/protobuf/message.h>

#include <string>

#include "proto/codec/value.h"
#include "proto/options.pb.h"

namespace keelson::proto {

// Fills `message` of form `form` from `value`, which is not null. Returns what is wrong, "" if
// nothing; the caller knows where. REQUIRES: form is neither OBJECT nor LIST.
std::string DecodeForm(Form form, const Value& value, google::protobuf::Message* message);

// The value of `message`; a zero time is null. InvalidArgument when raw JSON is not JSON.
absl::StatusOr<Value> EncodeForm(Form form, const google::protobuf::Message& message);

}  // namespace keelson::proto
