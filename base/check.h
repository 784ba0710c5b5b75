// SPDX-License-Identifier: Apache-2.0
// KEELSON_CHECK(condition): an invariant of ours. Broken means the program's state can no longer be
// trusted, so it says where and aborts; never used for input from outside.
#pragma once

namespace keelson::base {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace keelson::base

#define KEELSON_CHECK(condition)                                       \
  (static_cast<bool>(condition)                                        \
       ? static_cast<void>(0)                                          \
       : ::keelson::base::CheckFailed(__FILE__, __LINE__, #condition))
