// SPDX-License-Identifier: Apache-2.0
// Text in and out of documents: UTF-8, JSON strings, YAML scalars.
#pragma once

#include <string>
#include <string_view>

#include "proto/codec/value.h"

namespace keelson::proto {

// Position of the first byte that is not valid UTF-8 (RFC 3629), or npos.
size_t FindInvalidUtf8(std::string_view text);
void AppendUtf8(uint32_t code_point, std::string* out);

// `text` in quotes. Bytes that are not UTF-8 become U+FFFD. With `for_yaml` everything YAML might
// take for a line break or refuse is escaped as well.
void AppendJsonString(std::string_view text, std::string* out, bool for_yaml = false);
// Standard alphabet with padding; line breaks are skipped, as Go does.
bool DecodeBase64(std::string_view text, std::string* bytes);
std::string EncodeBase64(std::string_view bytes);

// The shortest JSON number that reads back as `value`; REQUIRES: finite.
std::string NumberText(double value);

// Gives a scalar without quotes its type by the rules of YAML 1.1 as sigs.k8s.io/yaml applies them.
// Sets kind, boolean and text of `value`. False for .inf and .nan, which JSON cannot hold.
bool ResolvePlainScalar(std::string_view text, Value* value);

std::string ToPrettyJson(const Value& value);
std::string ToYaml(const Value& value);

}  // namespace keelson::proto
