// SPDX-License-Identifier: Apache-2.0
// Where we are in a document, for messages. A chain of stack frames: nothing is built unless it is
// shown.
#pragma once

#include <string>
#include <string_view>

#include "proto/codec/value.h"

namespace keelson::proto {

struct Path {
  const Path* parent = nullptr;
  std::string_view key{};   // a member, when index is negative
  int index = -1;           // a list's element
  bool is_map_key = false;  // a key chosen by the user: shown in brackets

  // spec.containers[0].resources.limits[cpu]; empty at the top.
  std::string Text() const;
};

// "pod.yaml:12: ", "line 12: " or "" in front of a message.
std::string Where(const DecodeOptions& options, int line);
// The same followed by the path: "pod.yaml:12: spec.containers[0]: ".
std::string Where(const DecodeOptions& options, int line, const Path& path);

// Keeps the last of members with the same key. One line per duplicate goes to `warnings`, or in
// strict mode into the returned InvalidArgument.
absl::Status RemoveDuplicates(const DecodeOptions& options, Value* root,
                              std::vector<DecodeWarning>* warnings);

// Size and UTF-8.
absl::Status CheckText(std::string_view text, const DecodeOptions& options);

}  // namespace keelson::proto
